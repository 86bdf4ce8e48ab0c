"""Sample images from a generator and a seed, and write them as sheets and files."""
