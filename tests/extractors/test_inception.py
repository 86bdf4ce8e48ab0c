"""Inception is the network that FID was defined with."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.common.hashing import digest
from components.extractors import pretrained
from components.extractors.extractor import PIECE
from components.extractors.files import extractor_hash
from components.extractors.inception import adopt_inception
from components.extractors.load import load_extractor

CONFIG = {
    "name": "inception",
    "hash": extractor_hash("inception", "0" * 64, "", None),
    "weights_sha256": "0" * 64,
    "preparation": "",
}

FEW = 4  # images in the network at once, where 16 take seconds


def random_images(n, channels, edge, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (n, channels, edge, edge)).astype(np.uint8)


@pytest.fixture(scope="module")
def inception(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inception")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "INCEPTION_SHA256", digest(weights, "sha256"))
        adopt_inception(weights, folder)
        loaded = load_extractor(folder)
    assert loaded.chunk == PIECE
    return dataclasses.replace(loaded, chunk=FEW)


@pytest.fixture(scope="module")
def fidelity(weights):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(weights))


def close(ours, reference):
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= 1e-4 * np.abs(reference).max()


@pytest.mark.parametrize(("channels", "edge"), [(3, 32), (3, 40), (3, 299), (1, 28)])
def test_inception_is_that_of_torch_fidelity(inception, fidelity, channels, edge):
    images = random_images(2, channels, edge)
    reference = [x.numpy() for x in fidelity(torch.from_numpy(images).expand(-1, 3, -1, -1))]
    ours = inception(images)
    close(ours, reference[0])
    close(inception.logits_of(ours), reference[1])


def test_inception_is_that_of_torchmetrics(inception, weights):
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights), antialias=False)
    images = random_images(2, 3, 32)
    close(inception(images), network(torch.from_numpy(images)).numpy())


def test_inception_does_not_depend_on_how_images_are_cut(inception):
    images = random_images(FEW + 3, 3, 32)
    whole = inception(images)
    np.testing.assert_array_equal(inception(images[FEW:]), whole[FEW:])
    close(inception(images[1:5]), whole[1:5])


def test_only_inception_gives_fid(inception):
    assert inception.frechet_name == "fid" and inception.classes == "imagenet"
    assert inception.identity.resize == 299 and "TensorFlow 1" in inception.identity.preparation
    assert (inception.dim, inception.range) == (2048, "[-1, 1)")


def test_inception_weights_are_verified_again_before_loading(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "inception-2015-12-05.pth").write_bytes(b"tampered")
    with pytest.raises(InputError, match="is not that of the 2015-12-05"):
        load_extractor(tmp_path)


def test_no_code_in_inception_weights_is_run(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code in the weights was run",))

    torch.save({"x": Trap()}, tmp_path / "inception-2015-12-05.pth")
    sha256 = digest(tmp_path / "inception-2015-12-05.pth", "sha256")
    monkeypatch.setattr(pretrained, "INCEPTION_SHA256", sha256)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(Exception, match="[Ww]eights"):
        load_extractor(tmp_path)
