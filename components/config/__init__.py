"""The configuration of an experiment, one section per file."""
