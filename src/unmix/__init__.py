"""Unmix: a reproducible companion to five papers on music source separation."""

__version__ = "0.1.0"
