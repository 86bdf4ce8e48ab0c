"""The model families: one file per paper, each a list of phases (see models/family.py)."""
