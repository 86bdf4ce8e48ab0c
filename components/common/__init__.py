"""Helpers for every package, independent of the domain."""
