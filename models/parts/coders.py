"""The networks of autoencoders: encoders of images into vectors and decoders back, dense or convolutional."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import one_hot

from models.data_spec import DataSpec
from models.family import Config
from models.parts.layers import down, shapes, up
from models.search_space import tunable

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


class CoderConfig(Config):
    """Hyperparameters of both networks; decoders mirror encoders."""

    # fmt: off
    network: Literal["dense", "conv"]
    latent: int = Field(ge=1)  # dimensions of a code
    widths: tuple[PositiveInt, ...]  # dense: units of the encoder's hidden layers
    # Conv: channels of the largest feature maps; doubled at each halving.
    width: int = tunable(32, ge=1, choices=(16, 32, 64), advises=False, active_if=("network", "conv"),
        source="this project: sizes for a processor")
    max_width: int = Field(128, ge=1)  # conv: doubling stops here
    hidden: int = tunable(256, ge=1, choices=(128, 256, 512), advises=False, active_if=("network", "conv"),
        source="this project: sizes for a processor")  # conv: units of the dense layer next to the code
    activation: Literal["relu", "silu", "gelu"]
    # fmt: on

    def check(self, card: DataSpec) -> None:
        """Raise ValueError unless codes have fewer dimensions than images."""
        if self.latent >= (dimensions := math.prod(card.shape)):
            raise ValueError(
                f"latent={self.latent} must be less than the {dimensions} dimensions of an image"
            )

    def act(self) -> nn.Module:
        """Return a new activation layer."""
        return ACTIVATIONS[self.activation]()


def mlp(config: CoderConfig, widths: Sequence[int]) -> nn.Sequential:
    """Dense layers from widths[0] to widths[-1] with activations between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), config.act()]
    return nn.Sequential(*layers[:-1])


def with_class(h: Tensor, label: Tensor | None, classes: int) -> Tensor:
    """Concatenate features (N, D) and one-hot labels to (N, D + classes); no labels if `classes` is 0."""
    if not classes:
        return h
    assert label is not None
    return torch.cat([h, one_hot(label, classes).to(h)], 1)


class Encoder(nn.Module):
    """Images and, if class-conditional, labels -> vectors of `outputs` dimensions."""

    def __init__(self, config: CoderConfig, card: DataSpec, outputs: int, classes: int = 0):
        super().__init__()
        self.classes = classes
        self.convolutions: nn.Module | None = None
        if config.network == "dense":
            self.dense = mlp(config, [math.prod(card.shape) + classes, *config.widths, outputs])
            return
        sizes, widths = shapes(card.resolution, config.width, config.max_width, card.channels)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [down(before, after), config.act()]
        self.convolutions = nn.Sequential(*layers)
        self.dense = mlp(config, [sizes[-1] ** 2 * widths[-1] + classes, config.hidden, outputs])

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs), float32."""
        if self.convolutions is not None:
            x = self.convolutions(x).permute(0, 2, 3, 1)  # (N, 3, 3, 128), in memory order
        return self.dense(with_class(x.flatten(1), label, self.classes)).float()


class Decoder(nn.Module):
    """Codes and, if class-conditional, labels -> images with unbounded values."""

    def __init__(self, config: CoderConfig, card: DataSpec, classes: int = 0):
        super().__init__()
        self.classes, self.shape = classes, card.shape
        self.convolutions: nn.Module | None = None
        inputs = config.latent + classes
        if config.network == "dense":
            self.dense = mlp(config, [inputs, *config.widths[::-1], math.prod(card.shape)])
            return
        sizes, widths = shapes(card.resolution, config.width, config.max_width, card.channels)
        self.size = sizes[-1]
        self.dense = mlp(config, [inputs, config.hidden, sizes[-1] ** 2 * widths[-1]])
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes) - 1)):
            layers += [config.act(), up(widths[i + 1], widths[i], sizes[i])]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, Z) -> (N, C, H, W), float32."""
        h = self.dense(with_class(z, label, self.classes))
        if self.convolutions is None:
            return h.unflatten(1, self.shape).float()
        h = h.unflatten(1, (self.size, self.size, -1))  # (N, 3, 3, 128)
        return self.convolutions(h.permute(0, 3, 1, 2)).float()
