"""Remove from a store what nothing refers to."""
