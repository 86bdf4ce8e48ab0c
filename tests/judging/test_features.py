import dataclasses
import json

import numpy as np
import pytest
import torch

from components.data.dataset import open_split
from components.errors import InputError
from components.features import CHUNK, adopt_inception, load_extractor, train_extractor


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


@pytest.fixture(scope="module")
def classifier(digits_reference):
    return load_extractor(digits_reference / "extractor")


def test_the_classifier_reads_digits_it_has_not_seen(classifier, splits):
    test = splits[2]
    right = (classifier.logits(test.images[:]).argmax(1) == test.labels).mean()
    assert right > 0.95
    assert classifier.name == "classifier" and classifier.frechet_name == "frechet_distance"
    assert classifier.info["accuracy"] > 0.95 and len(classifier.hash) == 64


def test_training_is_repeatable_and_leaves_no_trace(splits, tmp_path):
    train, validation, _ = splits
    torch.manual_seed(5)
    before = torch.get_rng_state()
    infos = [
        train_extractor(train, validation, tmp_path / str(i), "classifier", 1, seed=i // 2) for i in range(3)
    ]
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 1
    assert infos[0]["hash"] == infos[1]["hash"] != infos[2]["hash"]


def test_features_do_not_depend_on_how_images_are_cut(classifier, splits):
    images = splits[2].images[: 2 * CHUNK + 30]
    whole = classifier(images)
    assert whole.dtype == np.float32 and whole.shape == (len(images), classifier.dim)
    parts = [classifier(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(classifier(torch.from_numpy(images)), whole)
    np.testing.assert_allclose(classifier(images[17:60]), whole[17:60], atol=1e-5)


def test_the_network_sees_full_chunks_in_its_range(classifier, splits, monkeypatch):
    seen = []
    monkeypatch.setattr(classifier.network, "forward", lambda x: seen.append(x) or torch.zeros(len(x), 64))
    assert (
        len(classifier(np.concatenate([splits[2].images[:130], np.full((1, 1, 8, 8), 255, np.uint8)]))) == 131
    )
    assert [len(x) for x in seen] == [CHUNK, CHUNK]
    assert min(float(x.min()) for x in seen) == -1 and max(float(x.max()) for x in seen) == 1


def test_rotation_is_what_unlabelled_data_gets(lamps_reference, lamps):
    extractor = load_extractor(lamps_reference / "extractor")
    assert extractor.name == "rotation" and extractor.info["accuracy"] > 0.9
    assert (extractor.channels, extractor.resolution) == (3, 16)
    assert extractor(open_split(lamps, "test").images[:5]).shape == (5, 64)


def test_large_images_are_reduced(tmp_path, splits):
    @dataclasses.dataclass
    class Large:
        images: np.ndarray
        labels: np.ndarray

    train = Large(np.kron(splits[0].images[:130], np.ones((12, 12), np.uint8)), splits[0].labels[:130])
    train_extractor(train, train, tmp_path, "classifier", 1)
    extractor = load_extractor(tmp_path)
    assert (extractor.resolution, extractor.resize) == (96, 64)
    assert extractor(train.images[:3]).shape == (3, 64)


def test_the_hash_names_weights_and_preparation(tmp_path, splits, classifier):
    info = train_extractor(splits[0], splits[1], tmp_path, "classifier", 1)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == info and "uint8 / 127.5 - 1" in config["preparation"]
    assert info["hash"] != classifier.hash
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(tmp_path)


def test_bad_images_are_refused(classifier):
    good = np.zeros((9, 1, 8, 8), np.uint8)
    bad = {
        "no images": good[:0],
        "shape \\(8, 8\\)": good[0, 0],
        "NaN": np.full((9, 1, 8, 8), np.nan, np.float32),
        "float32; expected uint8": good.astype(np.float32),
        "RGB 8x8; the extractor was made for grey 8x8": np.repeat(good, 3, 1),
        "grey 16x16": np.zeros((9, 1, 16, 16), np.uint8),
    }
    for message, images in bad.items():
        with pytest.raises(InputError, match=message) as raised:
            classifier(images)
        assert "\n" not in str(raised.value)


def test_a_classifier_needs_labels(lamps, tmp_path):
    split = open_split(lamps, "train")
    with pytest.raises(InputError, match="needs labels"):
        train_extractor(split, split, tmp_path, "classifier", 1)
    with pytest.raises(InputError, match="cannot be trained"):
        train_extractor(split, split, tmp_path, "inception", 1)


def test_only_the_weights_of_2015_are_inception(tmp_path):
    other = tmp_path / "inception_v3_google-0cc3c7bd.pth"
    other.write_bytes(b"other weights")
    with pytest.raises(InputError, match="is not that of the 2015-12-05 Inception weights") as raised:
        adopt_inception(other, tmp_path / "out")
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="no such file"):
        adopt_inception(tmp_path / "missing.pth", tmp_path / "out")
    with pytest.raises(InputError, match="evaluate.inception_path"):
        adopt_inception(None, tmp_path / "out")


def test_inception_weights_are_verified_again_before_loading(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"name": "inception", "hash": "0" * 64}))
    (tmp_path / "inception-2015-12-05.pth").write_bytes(b"tampered")
    with pytest.raises(InputError, match="is not that of the 2015-12-05"):
        load_extractor(tmp_path)


def test_inception_needs_torch_fidelity(tmp_path, monkeypatch):
    import components.features as features

    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"")
    monkeypatch.setattr(features, "INCEPTION_SHA256", features._sha256(weights))
    monkeypatch.setattr(features.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install torch-fidelity"):
        adopt_inception(weights, tmp_path / "out")
