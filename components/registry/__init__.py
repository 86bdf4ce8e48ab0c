"""Numbered, append-only decisions in the store."""
