"""The commands of `unmix`, by subject; `unmix.cli` puts them together."""
