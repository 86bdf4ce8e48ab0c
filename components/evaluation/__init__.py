"""Metrics and extractors yield evaluated numbers, each with baseline, interval and recipe."""
