"""The YAML of an experiment: one section a file."""
