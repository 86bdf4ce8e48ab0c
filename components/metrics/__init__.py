"""Metrics: pure functions from features or pixels to numbers, without files or networks."""
