"""The training loop, its logs and its results."""
