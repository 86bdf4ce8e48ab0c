"""Detect and treat failures of adversarial training."""
