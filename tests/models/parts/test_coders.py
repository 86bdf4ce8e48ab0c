"""Encoders and decoders that mirror each other."""

from __future__ import annotations

import pytest
import torch

from models.data_spec import DataSpec
from models.parts import coders

CARD = DataSpec(3, 16, 0)


class Settings(coders.CoderConfig):
    network: str = "conv"
    latent: int = 5
    widths: tuple[int, ...] = (32, 16)
    width: int = 8
    activation: str = "relu"


def test_a_code_must_be_smaller_than_the_image() -> None:
    Settings(latent=767).check(CARD)
    with pytest.raises(ValueError, match="latent=768 must be less than the 768 dimensions of an image"):
        Settings(latent=768).check(CARD)


def test_dense_layers_have_an_activation_between_any_two_and_none_at_the_end() -> None:
    layers = coders.mlp(Settings(activation="gelu"), (4, 3, 2))
    assert [type(layer).__name__ for layer in layers] == ["Linear", "GELU", "Linear"]
    assert layers(torch.zeros(7, 4)).shape == (7, 2)


def test_classes_lie_beside_the_features_one_hot() -> None:
    h = torch.zeros(2, 3)
    beside = coders.with_class(h, torch.tensor([1, 0]), 2)
    assert beside.tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]] and coders.with_class(h, None, 0) is h
