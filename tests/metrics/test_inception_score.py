"""The scores of a classifier, against their formulas."""

import numpy as np
import pytest

from components.metrics.distances import Estimate, jackknife
from components.metrics.inception_score import class_means, confident_rate, inception_score
from tests.metrics.test_manifold import kept


@pytest.fixture
def random():
    return np.random.RandomState(0)


def test_inception_score_of_certain_and_of_ignorant_classifiers():
    certain = 1000.0 * np.eye(5)[np.arange(200) % 5]
    assert inception_score(certain).value == pytest.approx(5)
    assert inception_score(certain[np.arange(200) % 5 == 0]).value == pytest.approx(1)
    assert inception_score(np.full((50, 7), 3.0)).value == pytest.approx(1)
    assert inception_score(certain + 1e6 * np.arange(200)[:, None]).value == pytest.approx(5), (
        "logits may be large"
    )


def test_inception_score_is_the_formula_and_its_replicates_too(random):
    logits = 2 * random.normal(size=(213, 6))

    def formula(x):
        p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        return np.exp((p * np.log(p / p.mean(0))).sum(1).mean())

    result, expected = (
        inception_score(logits),
        jackknife(formula(logits), [formula(logits[p]) for p in kept(213)]),
    )
    assert (result.value, result.low, result.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert inception_score(logits[:59]).low is None


def test_the_confident_rate_counts_probabilities_from_nine_tenths_on():
    probabilities = np.array([[0.901, 0.06, 0.039], [0.899, 0.1, 0.001], [0.01, 0.01, 0.98], [1 / 3] * 3])
    logits = np.log(probabilities) + 1e4 * np.arange(4)[:, None]
    estimate = confident_rate(np.repeat(logits, 100, axis=0))
    assert estimate.value == pytest.approx(0.5)
    assert (estimate.low, estimate.high) == pytest.approx((0.451, 0.549), abs=1e-3)


def test_class_means_combine_independent_errors():
    result = class_means([Estimate(1, 0.7, 1.3), Estimate(3, 2.6, 3.4)])
    assert (result.value, result.low, result.high) == pytest.approx((2, 1.75, 2.25))
    assert class_means([Estimate(1, 0.7, 1.3), Estimate(3)]) == Estimate(2)
