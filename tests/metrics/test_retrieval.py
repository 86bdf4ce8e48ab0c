"""Retrieval: perfection, chance, ties, and captions that several images share."""

import numpy as np
import pytest

from components.metrics.retrieval import TOP, chance, ranks, retrieval

M, D = 200, 16


@pytest.fixture
def real():
    return np.random.RandomState(0).standard_normal((M, D)).astype(np.float32)


def test_the_images_themselves_are_perfect(real):
    names = np.arange(M)
    result = ranks(real[:50], names[:50], real, names)
    assert not result.any() and retrieval(result).value == 1 and retrieval(result).low < 1


def test_images_that_have_nothing_to_do_with_captions_score_chance(real):
    names = np.arange(M)
    collapsed = np.repeat(real[:1] + 0.1, M, axis=0)  # one image for all captions: exactly 5 are right
    assert (
        retrieval(ranks(collapsed, names, real, names)).value
        == TOP / M
        == pytest.approx(chance(names, names))
    )
    others = np.random.RandomState(1).standard_normal((M, D))
    result = retrieval(ranks(others, names, real, names))
    assert result.low < chance(names, names) < result.high


def test_a_rank_counts_the_nearer_images_of_other_captions():
    real, names = np.array([[0.0], [1], [2], [3], [4]]), np.array([0, 1, 2, 0, 1])
    fake = np.array([[0.1], [0.1], [0.1], [3.9]])
    assert ranks(fake, np.array([0, 1, 2, 0]), real, names).tolist() == [0, 1, 2, 1]


def test_a_tie_is_no_success():
    flat = np.zeros((8, 3))
    assert retrieval(ranks(flat, np.arange(8), flat, np.arange(8))).value == 0


def test_chance_where_captions_are_shared():
    names = np.repeat(np.arange(4), 5)  # 20 images, 5 of each caption
    assert chance(names, names, top=1) == pytest.approx(1 / 4)
    random, hits = np.random.RandomState(0), 0
    for _ in range(4000):
        hits += 0 in names[random.permutation(20)[:TOP]]
    assert chance(np.zeros(1, int), names) == pytest.approx(hits / 4000, abs=0.03)
    assert chance(names, names, top=50) == 1
