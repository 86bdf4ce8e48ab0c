"""What a reference holds, and what it refuses."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.evaluation import comparability, reference
from components.evaluation.evaluate import evaluate_samples
from components.evaluation.reference import EvaluationSample, Reference
from components.metrics.inception_score import inception_score
from components.store import Store
from tests.evaluation.test_evaluate import CLASSES, SETS


@pytest.fixture(scope="module")
def train(digits):
    return open_split(digits, "train")


def test_a_reference_says_what_it_is(digits_ref, digits_reference, digits):
    info = digits_ref.info
    assert info.data.hash == DatasetCard.read(digits).hash
    assert info.n == 400 and info.images == {"train": 1000, "validation": 390, "test": 400}
    floors = info.real_baselines["test"]["400"]
    assert (
        set(floors) == (SETS | CLASSES | {"frechet_distance_infinity"}) - {"cas"}
        and abs(floors["kid"]) < 0.05
        and floors["conditional_accuracy"] > 0.95
    )
    assert floors["memorization_rate"] < 0.05 and floors["recall"] > 0.6
    written = (digits_reference / "reference.json").read_text()
    assert json.loads(written) == {"schema": reference.SCHEMA} | info.to_json()
    assert str(digits_reference.parent) not in written and str(digits) not in written


@pytest.mark.parametrize(
    ("split", "unseen"), [("test", "test"), ("validation", "validation"), ("train", "test")]
)
def test_the_classifier_is_not_asked_about_images_that_it_has_seen(digits_ref, split, unseen):
    """A perfect generator, that is, held-out images, has the score of its baseline."""
    perfect = digits_ref.real(unseen, 200)
    expected = inception_score(digits_ref.extractor.logits_of(perfect.features)).value
    baselines = reference.real_baselines(digits_ref, split, 200)
    scores = reference.estimates(digits_ref, perfect, perfect)
    result = baselines["classifier_score"]
    assert result == expected == scores["classifier_score"].value
    assert baselines["confident_rate"] == scores["confident_rate"].value
    on_training = inception_score(
        digits_ref.extractor.logits_of(digits_ref.real("train", 200).features)
    ).value
    assert result != on_training


def test_real_baselines_are_computed_once_in_a_store(digits_ref, tmp_path, monkeypatch):
    """By whoever needs them first, of several processes; without a classifier where no score needs one."""
    computed, trained, store = [], [], Store(str(tmp_path / "baselines"))

    def compute(ref, split, n):
        computed.append((split, n))
        time.sleep(0.2)
        return {"kid": n / 1000}

    def fit(ref, split, n):
        trained.append((split, n))
        return 0.9

    monkeypatch.setattr(reference, "real_baselines", compute)
    monkeypatch.setattr(reference, "real_classification_accuracy", fit)
    refs = [replace(digits_ref, computed=store) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        baselines = list(pool.map(lambda ref: ref.real_baselines("test", 100, train=False), refs))
    assert baselines == [{"kid": 0.1}] * 3 and computed == [("test", 100)] and not trained
    assert refs[0].real_baselines("validation", 100) == refs[1].real_baselines("validation", 100)
    assert computed[1:] == trained == [("validation", 100)]
    of_reference = digits_ref.info.real_baselines["test"]["400"]
    assert refs[0].real_baselines("test", 400, train=False) == of_reference and len(trained) == 1
    assert refs[0].real_baselines("test", 400) == refs[1].real_baselines("test", 400)
    assert refs[2].real_baselines("test", 400) == of_reference | {"cas": 0.9}
    assert len(computed) == 2 and trained[1:] == [("test", 400)]
    (tmp_path / "baselines" / "test-100.json").write_text("{")
    assert refs[0].real_baselines("test", 100, train=False) == {"kid": 0.1} and len(computed) == 3


def test_no_classifier_is_trained_for_images_that_are_not_given(digits_ref, monkeypatch):
    monkeypatch.setattr(reference, "train_classifier", lambda *_, **__: pytest.fail("trained"))
    real = digits_ref.real("train", 100)
    metrics = evaluate_samples(EvaluationSample(real.features, real.labels), digits_ref)
    assert "class_kid" in metrics and "cas" not in metrics


def test_bad_input_is_refused_in_a_sentence(digits_ref, tmp_path, digits):
    with pytest.raises(InputError, match="only 3 images to evaluate"):
        evaluate_samples(EvaluationSample(digits_ref.splits["test"].features[:3]), digits_ref)
    bad = {
        "NaN": np.full((20, 1, 8, 8), np.nan),
        "expected uint8": np.zeros((20, 1, 8, 8)),
        "accepts grey 8x8": np.zeros((20, 3, 8, 8), np.uint8),
        "no images to evaluate": np.zeros((0, 1, 8, 8), np.uint8),
    }
    for message, images in bad.items():
        with pytest.raises(InputError, match=message):
            digits_ref.extractor(images)
    with pytest.raises(InputError, match="no reference here"):
        Reference.read(tmp_path, tmp_path, digits)


def test_a_split_too_small_to_judge_with_is_refused(digits, digits_reference, tmp_path):
    (tmp_path / "features").mkdir()
    for split in ("train", "validation", "test"):
        features = np.load(digits_reference / "features" / f"{split}.npy")
        np.save(tmp_path / "features" / f"{split}.npy", features[:3] if split == "validation" else features)
    with pytest.raises(InputError, match="validation images; at least 8"):
        reference.describe(digits, tmp_path, digits_reference / "extractor", 100)


def test_a_reference_of_some_images_compares_with_its_like_alone(
    digits, digits_reference, digits_ref, tmp_path
):
    (tmp_path / "features").mkdir()
    for split in ("train", "validation", "test"):
        features = np.load(digits_reference / "features" / f"{split}.npy")
        np.save(tmp_path / "features" / f"{split}.npy", features[:50])
    extractor = digits_reference / "extractor"
    info = reference.describe(digits, tmp_path, extractor, 100, classifier_steps=1, most=50)
    assert info.images == {"train": 50, "validation": 50, "test": 50} and info.n == 50
    few, real = Reference.read(tmp_path, extractor, digits), digits_ref.real("train", 40)
    assert all(len(sample.labels) == 50 for sample in few.splits.values())
    kids = [evaluate_samples(EvaluationSample(real.features), ref)["kid"] for ref in (few, digits_ref)]
    assert "in the reference (50, not none)" in comparability.difference(*kids)


def test_damaged_features_are_one_sentence(tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features/test.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"test\.npy is damaged"):
        reference.read_sample(tmp_path, "test")
