import json

import numpy as np
import pytest
import torch

from components import evaluation
from components.config import Evaluate
from components.data.card import DataCard
from components.data.dataset import open_split, to_float, to_uint8
from components.errors import InputError
from components.evaluation import Reference, curve, judge, judge_reconstruction, rank_by, reference, stability

FIELDS = {
    "value",
    "low",
    "high",
    "floor",
    "n",
    "extractor",
    "extractor_hash",
    "split",
    "better",
    "comparability",
}


@pytest.fixture(scope="module")
def real_images(digits):
    return open_split(digits, "test").images[:]


@pytest.fixture(scope="module")
def train_images(digits):
    return open_split(digits, "train").images[:]


def noisy(images, sigma):
    noise = np.random.RandomState(0).normal(0, sigma, images.shape)
    return np.clip(images + noise, 0, 255).round().astype(np.uint8)


def test_a_reference_says_what_it_is(digits_reference, digits):
    info = json.loads((digits_reference / "reference.json").read_text())
    assert info["data"]["hash"] == DataCard.read(digits).hash
    assert info["n"] == 400 and info["images"] == {"train": 400, "validation": 390, "test": 400}
    assert set(info["floor"]) == {"frechet_distance", "kid"} and abs(info["floor"]["kid"]) < 0.05
    assert info["classifier_accuracy"] > 0.95 and info["extractor"]["name"] == "classifier"
    assert str(digits_reference.parent) not in json.dumps(info) and str(digits) not in json.dumps(info)


def test_making_a_reference_again_gives_the_same_features(digits, digits_reference, tmp_path):
    again, first = reference(digits, tmp_path, Evaluate(), threads=2), Reference.read(digits_reference)
    assert again["extractor"]["hash"] == first.extractor.hash
    for split, features in first.features.items():
        np.testing.assert_allclose(np.load(tmp_path / f"features/{split}.npy"), features, atol=1e-5)


def test_every_metric_carries_its_fields(digits_reference, train_images):
    metrics = judge(train_images[:400], digits_reference, prefix="x_")
    assert set(metrics) == {"x_kid", "x_frechet_distance"}
    for metric in metrics.values():
        assert set(metric) == FIELDS and len(metric["comparability"]) == 16
        assert metric["n"] == 400 and metric["split"] == "test" and metric["extractor"] == "classifier"
    kid = metrics["x_kid"]
    assert kid["low"] < kid["value"] < kid["high"] and kid["better"] == "lower"
    json.dumps(metrics, allow_nan=False)


def test_real_images_score_about_the_floor(digits_reference, digits):
    validation = open_split(digits, "validation").images[:]
    metrics = judge(validation, digits_reference)
    assert metrics["kid"]["low"] < metrics["kid"]["floor"] < metrics["kid"]["high"]
    assert metrics["frechet_distance"]["value"] < 2 * metrics["frechet_distance"]["floor"]


def test_worse_images_score_worse(digits_reference, train_images, lamps_reference, lamps):
    for folder, images in (
        (digits_reference, train_images),
        (lamps_reference, open_split(lamps, "train").images[:]),
    ):
        scores = [judge(noisy(images, sigma)[:400], folder) for sigma in (0, 30, 60, 120)]
        for name in ("kid", "frechet_distance"):
            values = [score[name]["value"] for score in scores]
            assert values == sorted(values) and values[-1] > 3 * abs(values[0]), (folder.name, name, values)


def test_other_corruptions_are_seen(digits_reference, train_images):
    real = judge(train_images[:400], digits_reference)["kid"]
    one_class = np.repeat(train_images[:1], 400, axis=0)
    for bad in (
        train_images[:400, :, ::-1],
        np.roll(train_images[:400], 3, 3),
        one_class,
        255 - train_images[:400],
    ):
        assert judge(bad, digits_reference)["kid"]["value"] > real["high"]


def test_few_images_come_with_a_note_and_are_ranked_by_kid(digits_reference, train_images):
    few, many = (judge(train_images[:n], digits_reference) for n in (60, 400))
    assert "rank by kid" in few["frechet_distance"]["note"] and "note" not in many["frechet_distance"]
    assert rank_by(few) == "kid" and rank_by(many) == "frechet_distance"
    assert few["frechet_distance"]["n"] == 60
    assert few["frechet_distance"]["floor"] > many["frechet_distance"]["floor"], (
        "the floor is that of the same n"
    )


def test_comparability_is_equal_only_for_the_same_question(
    digits_reference, lamps_reference, train_images, digits
):
    same = [judge(images, digits_reference) for images in (train_images[:400], train_images[400:800])]
    for name in ("kid", "frechet_distance"):
        assert same[0][name]["comparability"] == same[1][name]["comparability"]
    others = [
        same[0]["kid"],
        same[0]["frechet_distance"],
        judge(train_images[:300], digits_reference)["kid"],
        judge(np.zeros((100, 3, 16, 16), np.uint8), lamps_reference)["kid"],
        judge_reconstruction(train_images[:400], train_images[:400], digits_reference)["r_kid"],
        judge_reconstruction(train_images[400:800], train_images[400:800], digits_reference)["r_kid"],
    ]
    assert len({metric["comparability"] for metric in others}) == len(others)


def test_more_images_than_the_reference_are_cut_to_its_number(digits_reference, train_images):
    assert judge(train_images, digits_reference)["kid"]["n"] == 400


def test_label_accuracy(digits_reference, digits):
    test = open_split(digits, "test")
    metric = judge(test.images[:], digits_reference, labels=test.labels)["label_accuracy"]
    assert metric["value"] == metric["floor"] > 0.95 and metric["better"] == "higher" and metric["n"] == 400
    assert metric["low"] < metric["value"] <= metric["high"]
    wrong = judge(test.images[:], digits_reference, labels=(test.labels + 1) % 10)["label_accuracy"]
    assert wrong["value"] < 0.05
    with pytest.raises(InputError, match="came with 3 labels"):
        judge(test.images[:], digits_reference, labels=test.labels[:3])


def test_labels_are_no_matter_without_a_classifier(lamps_reference):
    images = np.zeros((20, 3, 16, 16), np.uint8)
    assert "label_accuracy" not in judge(images, lamps_reference, labels=np.zeros(20))


def test_a_perfect_reconstruction_is_perfect(digits_reference, real_images):
    metrics = judge_reconstruction(real_images, real_images, digits_reference)
    assert metrics["mse"]["value"] == 0 and metrics["psnr"]["value"] == 100
    for name in ("r_kid", "r_frechet_distance"):
        assert metrics[name]["value"] == pytest.approx(metrics[name]["floor"], abs=1e-8) == 0
    assert metrics["mse"]["extractor"] is None and metrics["psnr"]["better"] == "higher"


def test_worse_reconstructions_score_worse(digits_reference, real_images):
    scores = [judge_reconstruction(real_images, noisy(real_images, s), digits_reference) for s in (5, 30, 90)]
    for name in ("mse", "r_kid", "r_frechet_distance"):
        values = [score[name]["value"] for score in scores]
        assert values == sorted(values)
    assert scores[0]["psnr"]["value"] > scores[1]["psnr"]["value"] > scores[2]["psnr"]["value"]


def test_both_sides_are_rounded_the_same_way(digits_reference, real_images):
    """What passes through a model's range and back is what it was: nothing is truncated."""
    back = to_uint8(to_float(torch.from_numpy(real_images))).numpy()
    np.testing.assert_array_equal(back, real_images)
    assert judge_reconstruction(real_images, back, digits_reference)["mse"]["value"] == 0
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_float(torch.from_numpy(every))).numpy(), every)


def test_bad_images_are_refused_in_a_sentence(digits_reference, real_images, tmp_path):
    bad = {
        "no images to judge": real_images[:0],
        "only 3 images": real_images[:3],
        "NaN": np.full(real_images.shape, np.nan),
        "images are 3x8x8 .* data set digits8 has 1x8x8": np.repeat(real_images, 3, 1),
        "expected uint8": real_images.astype(np.float64),
    }
    for message, images in bad.items():
        with pytest.raises(InputError, match=message):
            judge(images, digits_reference)
    with pytest.raises(InputError, match="came with 20 reconstructions"):
        judge_reconstruction(real_images, real_images[:20], digits_reference)
    with pytest.raises(InputError, match="no reference here"):
        judge(real_images, tmp_path)


def test_unknown_extractors_and_wrong_inception_weights_are_refused(digits, tmp_path):
    with pytest.raises(InputError, match="accepted: auto, classifier, rotation, inception"):
        reference(digits, tmp_path, Evaluate(extractor="vgg"))
    (tmp_path / "weights.pth").write_bytes(b"")
    settings = Evaluate(extractor="inception", inception_path=str(tmp_path / "weights.pth"))
    with pytest.raises(InputError, match="may be called FID"):
        reference(digits, tmp_path / "out", settings)
    assert not (tmp_path / "out" / "reference.json").exists()


def test_inception_numbers_are_called_fid(digits_reference, train_images, monkeypatch):
    read = Reference.read.__func__

    def renamed(cls, folder):
        import dataclasses

        ref = read(cls, folder)
        return dataclasses.replace(ref, extractor=dataclasses.replace(ref.extractor, name="inception"))

    monkeypatch.setattr(Reference, "read", classmethod(renamed))
    monkeypatch.setattr(evaluation.Extractor, "_prepare", lambda self, x: x.float() / 127.5 - 1)
    assert set(judge(train_images[:200], digits_reference)) == {"kid", "fid"}
    assert {"r_kid", "rfid"} < set(
        judge_reconstruction(train_images[:200], train_images[:200], digits_reference)
    )


def test_a_curve_of_improving_grids_falls_and_never_sees_test(
    digits_reference, train_images, tmp_path, monkeypatch
):
    grids = [(step, noisy(train_images[:64], sigma)) for step, sigma in ((0, 150), (10, 60), (20, 5))]
    points = curve(grids, digits_reference)
    assert [point["step"] for point in points] == [0, 10, 20]
    assert points[0]["kid"] > points[1]["kid"] > points[2]["kid"]
    assert points[0]["frechet_distance"] > points[2]["frechet_distance"]
    assert stability(points) == {
        "backslide": 0,
        "kept": 1,
        "best_step": 20,
        "snapshots": 3,
        "of": "frechet_distance",
    }
    (tmp_path / "features").mkdir()
    for name in ("extractor", "reference.json", "features/train.npy", "features/validation.npy"):
        (tmp_path / name).symlink_to(digits_reference / name)
    np.save(tmp_path / "features/test.npy", np.full((400, 64), np.nan))
    assert curve(grids, tmp_path) == points


def test_a_curve_of_single_images_is_empty(digits_reference, real_images):
    assert curve([(0, real_images[:1]), (10, real_images[:1])], digits_reference) == []


def test_a_split_too_small_to_judge_with_is_refused(digits, tmp_path):
    import shutil

    small = shutil.copytree(digits, tmp_path / "small")
    np.save(small / "validation" / "images-00000.npy", np.zeros((3, 1, 8, 8), np.uint8))
    with pytest.raises(InputError, match="only 3 validation images; at least 8"):
        reference(small, tmp_path / "out", Evaluate())


def test_a_curve_of_reconstructions(digits_reference, digits):
    originals = open_split(digits, "validation").images[:64]
    grids = [(step, noisy(originals, sigma)) for step, sigma in ((0, 150), (10, 20), (20, 60))]
    points = curve(grids, digits_reference, originals=originals)
    found = stability(points, key="mse")
    assert found["best_step"] == 10 and 0 < found["backslide"] < 1 and 0 < found["kept"] < 1


def test_stability_of_known_curves():
    def points(*values):
        return [{"step": i, "frechet_distance": value} for i, value in enumerate(values)]

    # Relative to what was gained: 16 -> 1 is four halvings, back to 4 loses two of them.
    known = {"backslide": 0.5, "kept": 0.5, "best_step": 1, "snapshots": 3, "of": "frechet_distance"}
    assert stability(points(16, 1, 4)) == pytest.approx(known)
    worse = {"backslide": 1, "kept": 0, "best_step": 0, "snapshots": 3, "of": "frechet_distance"}
    assert stability(points(1, 2, 3)) == worse
    assert stability(points(1, 0))["backslide"] is None and stability([])["snapshots"] == 0
