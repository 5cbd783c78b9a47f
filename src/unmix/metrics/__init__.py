"""Metrics: BSS Eval and what is derived from it."""
