"""Captions as an encoder sees them."""
