"""Our numbers and those of torch-fidelity and torchmetrics from the same features, to 1e-4 relative."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from components.metrics.distances import frechet_distance, kid, statistics
from components.metrics.inception_score import inception_score
from components.metrics.manifold import manifold

N, D, CLASSES = 400, 24, 10


@pytest.fixture(scope="module")
def features():
    """Like those of a network after its last ReLU: never below zero, correlated, of unequal scales."""
    random = np.random.RandomState(0)
    mixing = random.normal(size=(D, D)) * random.uniform(0.2, 1, size=D)
    real = np.maximum(random.normal(size=(N, D)) @ mixing, 0)
    fake = np.maximum(0.9 * random.normal(size=(N, D)) @ mixing + 0.1, 0)
    return real.astype(np.float32), fake.astype(np.float32)


@pytest.fixture(scope="module")
def logits():
    return 2 * np.random.RandomState(1).normal(size=(N, CLASSES)).astype(np.float32)


class GraphGenerator(torch.nn.Module):
    """An extractor whose images are the features already."""

    num_features = D

    def forward(self, x):
        return x.reshape(len(x), -1)


def filled(metric, real, fake):
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return metric.compute()


def test_frechet_distance(features):
    ours = frechet_distance(*map(statistics, features))
    reference = fid_statistics_to_metric(
        *(fid_features_to_statistics(torch.from_numpy(side).double()) for side in features), verbose=False
    )
    assert ours == pytest.approx(reference["frechet_inception_distance"], rel=1e-4)
    metric = FrechetInceptionDistance(feature=GraphGenerator(), input_img_size=(D, 1, 1)).set_dtype(
        torch.float64
    )
    assert ours == pytest.approx(filled(metric, *features).item(), rel=1e-4)
    assert ours > 0.1, "a distance that rounding cannot feign"


def test_kid_over_one_subset_of_all_rows(features):
    ours = kid(*features)
    reference = kid_features_to_metric(
        *(torch.from_numpy(side).double() for side in features),
        kid_subsets=1,
        kid_subset_size=N,
        verbose=False,
    )
    assert ours == pytest.approx(reference["kernel_inception_distance_mean"], rel=1e-4)
    metric = KernelInceptionDistance(feature=GraphGenerator(), subsets=1, subset_size=N)
    sides = (side.astype(np.float64) for side in features)
    assert ours == pytest.approx(filled(metric, *sides)[0].item(), rel=1e-4)


def test_inception_score_in_one_split(logits):
    ours = inception_score(logits).value
    reference = isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=False)
    assert ours == pytest.approx(reference["inception_score_mean"], rel=1e-4)
    metric = InceptionScore(feature=GraphGenerator(), splits=1)
    metric.update(torch.from_numpy(logits))
    assert ours == pytest.approx(metric.compute()[0].item(), rel=1e-4)


def test_precision_and_recall(features):
    """Theirs takes the generated set first; its neighbourhood of 3 leaves out the row itself, as ours."""
    real, fake = features
    reference = prc_features_to_metric(
        torch.from_numpy(fake).double(),
        torch.from_numpy(real).double(),
        prc_neighborhood=3,
        prc_batch_size=150,
        save_cpu_ram=True,
        verbose=False,
    )
    ours = manifold(real, fake)
    assert ours["precision"].value == pytest.approx(reference["precision"], rel=1e-4)
    assert ours["recall"].value == pytest.approx(reference["recall"], rel=1e-4)
    assert abs(reference["precision"] - reference["recall"]) > 0.01, "sides that cannot be confused unseen"
