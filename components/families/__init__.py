"""Families by name: their settings and tasks; building, saving and loading their models."""
