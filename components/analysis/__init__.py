"""Analyses of trained models: views of its latent space, sampling ablations, anomaly scores."""
