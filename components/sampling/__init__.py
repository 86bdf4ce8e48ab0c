"""From a generator and a seed to images, sheets and files."""
