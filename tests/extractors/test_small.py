"""Classifiers trained on the data."""

import numpy as np
import pytest
import torch

from components.data.dataset import ShardedArray, Split, open_split
from components.extractors import small
from components.extractors.kinds import LEAST_STEPS
from components.extractors.small import accuracy_on, train_classifier, train_extractor
from tests.extractors.test_make import few


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


def test_a_classifier_of_generated_images_is_tested_on_real_ones(splits, tmp_path):
    train, _, test = splits
    np.save(tmp_path / "generated.npy", train.images[:])
    generated = np.load(tmp_path / "generated.npy", mmap_mode="r")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    network = train_classifier(generated, train.labels, 10, steps=60, seed=3)
    right, n = accuracy_on(network, test)
    assert n == len(test) and right / n > 0.85 and not network.training
    again = train_classifier(train.images, train.labels, 10, steps=60, seed=3, threads=1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    wrong = train_classifier(generated, (train.labels + 1) % 10, 10, steps=60, seed=3)
    assert accuracy_on(wrong, test)[0] / n < 0.1


def test_steps_do_not_depend_on_the_number_of_images(splits, monkeypatch):
    batches = []
    real = small._examples
    monkeypatch.setattr(
        small,
        "_examples",
        lambda data, rows, *rest: batches.append(len(rows)) or real(data, rows, *rest),
    )
    for n in (10, 64, 500):
        part = few(splits[0], n)
        train_classifier(part.images, part.labels, 12, steps=5, seed=0)
    assert batches == [64] * 15


def test_few_images_are_learned_too(tmp_path):
    random = np.random.RandomState(0)
    labels = np.arange(200) % 4
    images = 100 + 10 * labels[:, None, None, None] + random.normal(0, 30, (200, 1, 8, 8))
    data = Split(ShardedArray([images.clip(0, 255).astype(np.uint8)]), labels)
    config = train_extractor(data, data, tmp_path, "classifier")
    assert config.steps == LEAST_STEPS and config.accuracy > 0.9


def test_the_steps_that_are_asked_for_are_all(splits, tmp_path):
    part = few(splits[0], 200)
    assert train_extractor(part, part, tmp_path, "classifier", 6).steps == 6
