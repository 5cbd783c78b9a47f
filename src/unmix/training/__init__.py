"""Training: losses, examples, and loops."""
