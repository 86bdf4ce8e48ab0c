"""What else a trained model is asked: views of its latent space, sampling ablations, anomaly scores."""
