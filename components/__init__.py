"""What a worker does: data, training, judging, storing. Every function takes plain arguments."""
