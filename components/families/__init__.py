"""A model family by its name: its settings, built for the data, saved and loaded."""
