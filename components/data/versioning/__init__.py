"""Versions of data sets: DVC and its pins."""
