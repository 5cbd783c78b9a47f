"""Separators: networks, factorisations, oracles."""
