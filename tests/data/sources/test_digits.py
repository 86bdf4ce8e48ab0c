"""Digits from installed packages."""

import numpy as np

from components.data.dataset import open_split
from components.data.sources import prepare


def test_mnist5k_is_the_real_thing_cut_evenly(home):
    card = prepare.prepare("mnist5k", home)
    assert card.counts == {"train": 3600, "validation": 400, "test": 1000}
    assert card.label_counts["test"] == [100] * 10 and card.label_counts["validation"] == [40] * 10
    assert (card.resolution, card.channels, card.labels) == (28, 1, list("0123456789"))
    parts = [open_split(home / "data/mnist5k", split) for split in card.counts]
    assert len({image.tobytes() for part in parts for image in part.images[:]}) == 5000, (
        "no digit is in two splits"
    )
    assert np.bincount(parts[2].labels[:200]).min() >= 10, "the first of a split are a fair sample of it"


def test_digits_are_scaled_to_the_full_range(home):
    card = prepare.prepare("digits", home)
    images = open_split(home / "data/digits", "train").images[:]
    assert sum(card.counts.values()) == 1797 and images.min() == 0 and images.max() == 255


def test_digits_of_32_pixels_are_the_same_with_a_border(home):
    card = prepare.prepare("mnist5k-32", home)
    small = prepare.prepare("mnist5k", home)
    assert (card.resolution, card.counts, card.label_counts) == (32, small.counts, small.label_counts)
    for split in card.counts:
        images, inner = (
            open_split(home / f"data/{name}", split).images[:] for name in ("mnist5k-32", "mnist5k")
        )
        assert (images[:, :, 2:30, 2:30] == inner).all() and images.sum() == inner.sum()
