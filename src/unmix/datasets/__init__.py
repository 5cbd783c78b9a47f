"""Datasets: where sound comes from, and which clips belong to which part."""
