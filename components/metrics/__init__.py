"""From features or pixels to numbers: pure functions, no files, no networks."""
