"""What goes wrong in adversarial training, and what is done about it."""
