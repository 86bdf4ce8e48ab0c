"""Keys of stages, code digests and cached results."""
