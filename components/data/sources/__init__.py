"""From any source of images to a prepared data set."""
