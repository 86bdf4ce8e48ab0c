"""From images to feature vectors: one kind of extractor a file."""
