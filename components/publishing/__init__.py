"""Publish runs: folders of models with provenance, and their verification by whoever has them."""
