"""Evaluate samples: metrics with baseline, interval and recipe."""
