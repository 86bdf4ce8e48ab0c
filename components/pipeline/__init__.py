"""The stages of a run: what each depends on, and what it does."""
