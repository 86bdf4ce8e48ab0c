import dataclasses
import json

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.common.hashing import digest, json_sha256
from components.config.evaluate import Evaluate
from components.data.dataset import ShardedArray, Split, open_split
from components.extractors import small
from components.extractors.load import load_extractor
from components.extractors.make import make
from components.extractors.small import accuracy_on, train_extractor


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


def few(split, n):
    return Split(ShardedArray([split.images[:n]]), None if split.labels is None else split.labels[:n])


# Trained on the data set itself


@pytest.fixture(scope="module")
def classifier(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    make("classifier", Evaluate(), *splits[:2], folder)
    return load_extractor(folder)


def test_the_classifier_reads_digits_it_has_not_seen(classifier, splits):
    test = splits[2]
    right = (classifier.logits(test.images[:]).argmax(1) == test.labels).mean()
    assert right > 0.95
    assert classifier.name == "classifier" and classifier.config.accuracy > 0.95
    config = classifier.config
    assert (config.steps, config.seed, config.threads) == (400, 0, 1)
    assert accuracy_on(classifier.network, test) == (round(right * len(test)), len(test))


def test_training_is_repeatable_and_leaves_no_trace(splits, tmp_path):
    train, validation, _ = splits
    torch.manual_seed(5)
    before = torch.get_rng_state()
    infos = [
        train_extractor(train, validation, tmp_path / str(i), "classifier", 16, seed=i // 2) for i in range(3)
    ]
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 1
    assert infos[0].hash == infos[1].hash != infos[2].hash


def test_rotation_is_what_unlabelled_data_gets(lamps, tmp_path):
    train, validation, test = (open_split(lamps, name) for name in ("train", "validation", "test"))
    make("rotation", Evaluate(extractor_steps=16), train, validation, tmp_path)
    extractor = load_extractor(tmp_path)
    assert extractor.name == "rotation" and extractor.config.accuracy > 0.9
    assert (extractor.channels, extractor.resolution, extractor.classes) == (3, 16, None)
    assert extractor(test.images[:5]).shape == (5, 64)
    with pytest.raises(InputError, match="grey 16x16; the extractor accepts RGB 16x16"):
        extractor(test.images[:5][:, :1])


def test_large_images_are_reduced(splits, tmp_path):
    train = Split(
        ShardedArray([np.kron(splits[0].images[:130], np.ones((12, 12), np.uint8))]), splits[0].labels
    )
    train_extractor(train, train, tmp_path, "classifier", 16)
    extractor = load_extractor(tmp_path)
    assert (extractor.resolution, extractor.resize) == (96, 64)
    assert "64 pixels, bilinear with antialiasing" in extractor.identity.preparation
    assert extractor(train.images[:3]).shape == (3, 64)


def test_the_hash_names_weights_and_preparation(tmp_path, splits, classifier):
    info = train_extractor(splits[0], splits[1], tmp_path, "classifier", 16)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == info.to_json() and "uint8 / 127.5 - 1" in config["preparation"]
    assert config["weights_sha256"] == digest(tmp_path / "model.safetensors", "sha256")
    made_of = {k: config[k] for k in ("name", "weights_sha256", "preparation", "recipe")}
    hashes = {json_sha256({**made_of, key: "other"}) for key in made_of} | {info.hash}
    assert len(hashes) == 5 and info.hash == json_sha256(made_of) != classifier.hash


def test_fewer_images_than_a_batch_train_too(splits, tmp_path):
    train = few(splits[0], 20)
    info = train_extractor(train, train, tmp_path, "classifier", 160)
    assert info.accuracy > 0.5
    assert all(torch.isfinite(p).all() for p in load_extractor(tmp_path).network.parameters())


def test_a_classifier_needs_labels(lamps, tmp_path):
    split = open_split(lamps, "train")
    with pytest.raises(InputError, match="needs labels"):
        train_extractor(split, split, tmp_path, "classifier", 16)
    with pytest.raises(InputError, match="cannot be trained"):
        train_extractor(split, split, tmp_path, "inception", 16)
    tiny = Split(ShardedArray([np.zeros((9, 1, 4, 4), np.uint8)]))
    with pytest.raises(InputError, match="4 pixels wide; an extractor needs at least 8"):
        train_extractor(tiny, tiny, tmp_path, "rotation", 16)


def test_an_unknown_extractor_is_refused(splits, tmp_path):
    with pytest.raises(InputError, match="'vgg' is unknown; accepted: auto, classifier"):
        make("vgg", Evaluate(), *splits[:2], tmp_path)


# Inception: where the weights are found


def put(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# EfficientNet


def test_efficientnet_is_made_of_the_weights_of_its_package(tmp_path):
    make("efficientnet", Evaluate(extractor="efficientnet"), None, None, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["weights_sha256"] == digest(tmp_path / "efficientnet-lite0.pth", "sha256")
    assert "96 to 224" in config["preparation"] and "(x - 127) / 128" in config["preparation"]


def test_recipes_of_small_networks_are_plain_values():
    recipe = small.Recipe("classifier", 1, 8, 10)
    assert small.Recipe(**json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe
