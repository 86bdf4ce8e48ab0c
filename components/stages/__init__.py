"""Work addressed by what it depends on: keys, code digests, cached results."""
