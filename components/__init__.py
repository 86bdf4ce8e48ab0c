"""Work of a run: data, training, evaluation, storage. Functions take plain arguments."""
