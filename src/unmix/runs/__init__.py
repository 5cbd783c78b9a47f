"""Runs: what is to be done (spec), where it is kept (store), how it is carried out."""
