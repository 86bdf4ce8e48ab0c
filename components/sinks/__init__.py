"""Sinks: a run's curves, measures and samples in the formats of other tools, replayed from the store."""
