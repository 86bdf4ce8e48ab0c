"""The stages of a run: their inputs and their work."""
