"""Prepare data sets from packages, torchvision, folders and URLs."""
