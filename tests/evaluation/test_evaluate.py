"""Judged numbers: what they say of themselves, what moves them, and what they may be compared with."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from components.common.ranking import rank_by
from components.data.dataset import open_split, to_float, to_uint8
from components.evaluation import comparability
from components.evaluation.evaluate import (
    evaluate_pairs,
    evaluate_retrieval,
    evaluate_samples,
    neighbours,
)
from components.evaluation.jobs import pair_values
from components.evaluation.reference import EvaluationSample
from components.metrics.distances import frechet_estimate, frechet_unbiased
from components.records.evaluation import MetricResult
from tests.small_data import seen

pytestmark = pytest.mark.slow

SETS = {
    *("frechet_distance", "kid", "precision", "recall", "density", "coverage"),
    "memorization_rate",
}
CLASSES = {
    *(
        "classifier_score",
        "confident_rate",
        "conditional_accuracy",
        "class_kid",
        "class_frechet_distance",
        "cas",
    ),
}


@pytest.fixture(scope="module")
def test_split(digits):
    return open_split(digits, "test")


@pytest.fixture(scope="module")
def train(digits):
    return open_split(digits, "train")


@pytest.fixture(scope="module")
def of_classes(digits_ref, train):
    """All numbers of 400 training images of given classes."""
    return evaluate_samples(seen(digits_ref, train.images[:400], train.labels[:400]), digits_ref)


def noisy(images, sigma):
    noise = np.random.RandomState(0).normal(0, sigma, images.shape)
    return np.clip(images + noise, 0, 255).round().astype(np.uint8)


def each(images, change):
    """`change` done to every image, as a Pillow image."""
    changed = [np.asarray(change(Image.fromarray(image.transpose(1, 2, 0).squeeze()))) for image in images]
    return np.stack([c[None] if c.ndim == 2 else c.transpose(2, 0, 1) for c in changed])


def blurred(images, radius):
    return each(images, lambda image: image.filter(ImageFilter.GaussianBlur(radius)))


def compressed(images, quality):
    def jpeg(image):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return each(images, jpeg)


def values(metrics, name):
    return [m[name].value for m in metrics]


def test_every_number_carries_its_recipe(digits_ref, of_classes):
    metrics = of_classes
    assert set(metrics) == SETS | CLASSES
    for name, metric in metrics.items():
        assert isinstance(metric, MetricResult) and metric.n == 400, name
        recipe = metric.recipe
        assert recipe["metric"] == name and recipe["data"] == digits_ref.info.data.hash
        for field in ("seeds", "rounding", "preparation", "n_real", "chunk", "split"):
            assert recipe[field], (name, field)
        assert metric.comparability == comparability.key(recipe)
        if not name.startswith("class_"):  # 40 images of a class are too few for an interval
            assert metric.low <= metric.value <= metric.high and metric.interval, name
        assert metric.real_baseline is not None, name
        of_classifier = name == "cas"
        assert metric.extractor == (None if of_classifier else "classifier")
        assert recipe["resize"] or of_classifier
    assert (
        metrics["memorization_rate"].recipe["n_real"] == 1000
        and metrics["memorization_rate"].split == "train"
    )
    assert "bootstrap" not in metrics["kid"].interval, "repeated rows would bias a distance"
    json.dumps({name: metric.to_json() for name, metric in metrics.items()}, allow_nan=False)


def test_without_classes_there_are_no_class_numbers(lamps_ref):
    assert set(evaluate_samples(seen(lamps_ref, np.zeros((20, 3, 16, 16), np.uint8)), lamps_ref)) == SETS


def test_only_inception_has_an_inception_score_and_only_of_colour(lamps_ref, digits_ref, monkeypatch):
    import dataclasses

    def inceptive(ref):
        seer = dataclasses.replace(ref.extractor, name="inception", classes="imagenet")
        monkeypatch.setattr(type(seer), "logits_of", lambda self, features: features[:, :10])
        info = ref.info.model_copy(update={"real_baselines": {}})
        return dataclasses.replace(ref, extractor=seer, info=info, computed=None)

    for ref, expected in ((inceptive(lamps_ref), True), (inceptive(digits_ref), False)):
        result = evaluate_samples(EvaluationSample(ref.splits["train"].features[:60]), ref)
        assert ("inception_score" in result) is expected and {"fid", "kid"} <= set(result)
        assert "frechet_distance" not in result and "classifier_score" not in result


# What moves a number


def test_real_images_score_about_the_floor(digits_ref):
    validation = digits_ref.splits["validation"]
    metrics = evaluate_samples(EvaluationSample(validation.features, validation.labels), digits_ref)
    for name in ("kid", "precision", "recall", "coverage", "density", "memorization_rate"):
        room = metrics[name].high - metrics[name].low
        assert abs(metrics[name].value - metrics[name].real_baseline) < 2 * room, name
    assert metrics["frechet_distance"].value < 2 * metrics["frechet_distance"].real_baseline


def test_corruptions_move_distances_in_order_of_strength(digits_ref, lamps_ref, train, lamps):
    for ref, images in (
        (digits_ref, train.images[:400]),
        (lamps_ref, open_split(lamps, "train").images[:390]),
    ):
        ladders = {
            "noise": [noisy(images, sigma) for sigma in (40, 120)],
            "blur": [blurred(images, radius) for radius in (0.9, 2.5)],
            "jpeg": [compressed(images, quality) for quality in (15, 3)],
        }
        intact = evaluate_samples(seen(ref, images), ref)
        for corruption, ladder in ladders.items():
            scores = [intact, *(evaluate_samples(seen(ref, rung), ref) for rung in ladder)]
            for name in ("kid", "frechet_distance"):
                result = values(scores, name)
                assert result == sorted(result) and result[-1] > 3 * abs(result[0]), (
                    corruption,
                    name,
                    result,
                )


def test_dropped_classes_lower_recall_in_order_and_leave_precision(digits_ref, train):
    scores = []
    for classes in (10, 6, 3, 1):
        rows = np.flatnonzero(train.labels < classes)
        images = train.images[np.resize(rows, 400)] if len(rows) < 400 else train.images[rows[:400]]
        scores.append(evaluate_samples(seen(digits_ref, images), digits_ref))
    recalls, coverages = values(scores, "recall"), values(scores, "coverage")
    assert recalls == sorted(recalls, reverse=True) and recalls[-1] < recalls[0] - 0.4
    assert coverages == sorted(coverages, reverse=True)
    assert min(values(scores, "precision")) > 0.8


def test_repeated_images_lower_coverage_in_order(digits_ref, train):
    scores = [
        evaluate_samples(seen(digits_ref, np.resize(train.images[:n], (400, 1, 8, 8))), digits_ref)
        for n in (400, 100, 25, 5)
    ]
    coverages = values(scores, "coverage")
    assert coverages == sorted(coverages, reverse=True) and coverages[-1] < 0.3 < 0.9 < coverages[0]


def test_copies_of_training_images_count_as_memorised(digits_ref, train, test_split):
    half = np.concatenate([train.images[:200], test_split.images[:200]])
    result = evaluate_samples(seen(digits_ref, half), digits_ref)["memorization_rate"]
    assert result.value == pytest.approx(0.5, abs=0.02) and result.real_baseline < 0.05
    rows, near = neighbours(digits_ref.extractor(half[:210]), digits_ref)
    assert rows[:200].tolist() == list(range(200)) and set(range(200)) <= set(near.memorised)
    assert near.distances[0] is not None and near.distances[0] < 1e-3


def test_labels_that_are_not_what_was_asked_for(digits_ref, test_split, train):
    right = evaluate_samples(seen(digits_ref, test_split.images[:], test_split.labels), digits_ref)
    wrong = evaluate_samples(seen(digits_ref, test_split.images[:], (test_split.labels + 1) % 10), digits_ref)
    assert right["conditional_accuracy"].value == right["conditional_accuracy"].real_baseline > 0.95
    assert right["conditional_accuracy"].better == "higher"
    assert wrong["conditional_accuracy"].value < 0.05 and wrong["cas"].value < 0.2
    assert wrong["class_kid"].value > 10 * abs(right["class_kid"].value)
    assert set(right["class_kid"].classes) == {str(i) for i in range(10)}
    one = np.where(train.labels[:400] == 3, 8, train.labels[:400])  # threes are called eights
    sample = EvaluationSample(digits_ref.extractor(train.images[:400]), one)
    classes = evaluate_samples(sample, digits_ref)["class_kid"].classes
    assert max(classes, key=classes.get) == "8" and "3" not in classes


def test_a_classifier_is_trained_without_holding_all_images(digits_ref, train, of_classes):
    class Counting:
        shape, asked = (400, 1, 8, 8), []

        def __getitem__(self, rows):
            self.asked.append(len(rows))
            return train.images[rows]

    judged = EvaluationSample(digits_ref.extractor(train.images[:400]), train.labels[:400], Counting())
    result = evaluate_samples(judged, digits_ref)
    assert result["cas"] == of_classes["cas"]
    assert 1 < max(Counting.asked) <= 64


# What a number may be compared with


def test_every_number_of_an_extractor_that_tells_no_classes_comes_with_a_note(digits_ref, train):
    random = np.random.RandomState(0)
    validation = digits_ref.splits["validation"]
    unlearned = replace(validation, labels=random.permutation(validation.labels))
    doubtful = replace(digits_ref, splits=digits_ref.splits | {"validation": unlearned})
    metrics = evaluate_samples(seen(doubtful, train.images[:400]), doubtful)
    assert digits_ref.doubt is None and "cannot tell the classes" in doubtful.doubt
    assert {name for name, metric in metrics.items() if metric.note == doubtful.doubt} == set(metrics)
    assert rank_by(metrics) == "kid"
    errors = evaluate_pairs(seen(doubtful, train.images[:64]), {"mse": np.ones(64)}, doubtful)
    assert errors["mse"].note is None and errors["reconstruction_kid"].note == doubtful.doubt
    assert rank_by(errors) == "mse"


def test_an_extractor_of_rotations_is_compared_with_chance(lamps_ref):
    assert lamps_ref.doubt is None
    config = lamps_ref.extractor.config.model_copy(update={"accuracy": 0.27})
    doubtful = replace(lamps_ref, extractor=replace(lamps_ref.extractor, config=config))
    assert doubtful.doubt.endswith("right for 26.9% of 390 validation images, chance for 25.0%")


def test_few_images_come_with_a_note_and_are_ranked_by_kid(digits_ref, train):
    few, many = (evaluate_samples(seen(digits_ref, train.images[:n]), digits_ref) for n in (60, 400))
    assert "rank by KID" in few["frechet_distance"].note and many["frechet_distance"].note is None
    assert "frechet_distance_infinity" not in few
    assert rank_by(few) == "kid" and rank_by(many) == "frechet_distance"
    assert few["frechet_distance"].n == 60
    assert few["frechet_distance"].real_baseline > many["frechet_distance"].real_baseline, (
        "the real_baseline is that of the same n"
    )


def test_the_unbiased_estimate_of_real_images_is_near_zero_where_the_plain_one_is_not(digits_ref):
    x = np.asarray(digits_ref.splits["validation"].features)
    y = np.asarray(digits_ref.splits["test"].features)[: len(x)]
    plain, unbiased = frechet_estimate(x, y), frechet_unbiased(x, y)
    assert abs(unbiased.value) < plain.value / 2 and unbiased.low < 0 < unbiased.high


def test_comparability_is_equal_only_for_the_same_question(digits_ref, lamps_ref, train):
    def key(name="kid", ref=digits_ref, split="test", images=train.images[:400], **about):
        return evaluate_samples(seen(ref, images, **about), ref, split)[name].comparability

    assert key() == key(images=train.images[400:800])
    pairs = evaluate_pairs(seen(digits_ref, train.images[:390]), {}, digits_ref)[
        "reconstruction_kid"
    ].comparability
    others = [
        key(),
        key("frechet_distance"),
        key(images=train.images[:300]),
        key(split="validation", images=train.images[:390]),
        key(images=np.zeros((100, 3, 16, 16), np.uint8), ref=lamps_ref),
        key(seeds="as given"),
        key(preparation="centre square, resized"),
        pairs,
    ]
    assert len(set(others)) == len(others)


def test_more_images_than_there_are_to_compare_with_are_cut(digits_ref, train):
    result = evaluate_samples(seen(digits_ref, train.images[:]), digits_ref)["kid"]
    assert result.n == result.recipe["n_real"] == 400


# Pairs


def test_a_perfect_reconstruction_is_perfect(digits_ref, test_split):
    images = test_split.images[:]
    result = evaluate_pairs(seen(digits_ref, images), pair_values(images, images, None), digits_ref)
    assert result["psnr"].value == 100 and result["psnr"].better == "higher"
    for name in ("mse", "mae", "ssim", "reconstruction_kid", "reconstruction_frechet_distance"):
        assert result[name].value == pytest.approx(result[name].real_baseline, abs=1e-7), name
    assert result["mse"].extractor is None and "bootstrap" in result["mse"].interval


def test_worse_reconstructions_score_worse(digits_ref, test_split):
    images = test_split.images[:]
    scores = []
    for sigma in (5, 30, 90):
        bad = noisy(images, sigma)
        scores.append(evaluate_pairs(seen(digits_ref, bad), pair_values(images, bad, None), digits_ref))
    for name in ("mse", "mae", "reconstruction_kid", "reconstruction_frechet_distance"):
        assert values(scores, name) == sorted(values(scores, name)), name
    for name in ("psnr", "ssim"):
        assert values(scores, name) == sorted(values(scores, name), reverse=True), name


def test_both_sides_are_rounded_the_same_way(test_split):
    """What passes through a model's range and back is what it was: nothing is truncated."""
    images = test_split.images[:]
    np.testing.assert_array_equal(to_uint8(to_float(torch.from_numpy(images))).numpy(), images)
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_float(torch.from_numpy(every))).numpy(), every)


# Bad input


# Stability


def test_retrieval_is_among_the_images_that_the_reference_has(digits_ref) -> None:
    features = digits_ref.splits["test"].features
    samples, n = EvaluationSample(features[:8]), len(features)
    whole, longer = (
        evaluate_retrieval(samples, np.arange(8), np.arange(length), digits_ref) for length in (n, n + 100)
    )
    assert longer == whole and next(iter(whole.values())).value == 1
