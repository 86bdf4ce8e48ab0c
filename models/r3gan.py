"""Huang, Gokaslan, Kuleshov & Tompkin 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN.

https://arxiv.org/abs/2501.05441

    D: min E[-log sigmoid(D(x) - D(G(z)))] + gamma/2 E[|grad D(x)|^2] + gamma/2 E[|grad D(G(z))|^2]
    G: min E[-log sigmoid(D(G(z)) - D(x))]

The loss has no bad local minima and converges with the two penalties (Sec. 2). The networks are plainly
residual: no normalisation, no noise inputs, residual branches that start at zero (Sec. 3). Ours are as deep
as the resolution allows and narrow at high resolutions; gamma is constant, whereas the paper anneals it. With
networks: dcgan the loss and its penalties apply to DCGAN's networks, which learn in fewer steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models import dcgan, family
from models.adversarial_config import LossName, Norm
from models.data_spec import DataSpec
from models.dcgan import DCGANConfig
from models.family import Batch, Noise
from models.parts.discriminator import Discriminator
from models.parts.layers import shapes, to_image
from models.search_space import tunable


class R3GANConfig(DCGANConfig):
    """Hyperparameters of R3GAN: the authors' values for CIFAR-10 except for the size of the networks."""

    # fmt: off
    latent: int = tunable(64, ge=1, choices=(32, 64, 128), source="Huang et al. 2024: 64")
    loss: LossName = tunable("relativistic", choices=("relativistic", "non_saturating"),
        source="Huang et al. 2024, Sec. 2: relativistic, since it has no bad local minima")
    beta1: float = tunable(0.0, ge=0, lt=1, low=0.0, high=0.9, active_if=("optimizer", "adam"),
        source="Huang et al. 2024, authors' code for CIFAR-10: 0")
    beta2: float = Field(0.9, ge=0, lt=1)  # (paper: 0.9, later 0.99)
    r1: float = tunable(0.05, ge=0, low=0.005, high=5.0, log=True,  # gamma (paper: 0.05, later 0.005)
        source="Huang et al. 2024 on CIFAR-10: 0.05, later 0.005")
    r2: float = tunable(0.05, ge=0, low=0.005, high=5.0, log=True,
        source="Huang et al. 2024 on CIFAR-10: 0.05, later 0.005")
    networks: Literal["residual", "dcgan"] = tunable("residual", source="Huang et al. 2024, Sec. 3: residual")
    norm: Norm = "none"
    # Channels of the largest feature maps; doubled at each halving.
    width: int = tunable(16, ge=1, choices=(16, 32, 64), advises=False,
        source="this project: sizes for a processor")
    max_width: int = Field(256, ge=1)  # doubling stops here (paper: 768, also at 32x32)
    # The residual networks.
    # Residual blocks per resolution (paper: 2).
    blocks: int = tunable(1, ge=1, le=100, low=1, high=3, recommended=2, active_if=("networks", "residual"),
        source="Huang et al. 2024, Sec. 3: 2")
    expansion: int = Field(2, ge=1)  # channels inside a block over those outside (paper: 2)
    group_width: int = Field(16, ge=1)  # channels in a group of the 3x3 convolutions (paper: 16)
    patch: int = Field(1, ge=1)  # side in pixels of the blocks that become one position (space to depth)


GAIN = math.sqrt(2 / (1 + 0.2**2))  # of LeakyReLU(0.2), He et al. 2015


@torch.no_grad()
def scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> nn.Conv2d | nn.Linear:
    """Reset the layer's weights to N(0, gain^2 / fan_in) and its bias to 0, and return it."""
    layer.weight.normal_(0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        layer.bias.zero_()
    return layer


class Residual(nn.Module):
    """x + f(x) with 1x1, grouped 3x3 and 1x1 convolutions in f, which starts at zero. Sec. 3.3, Fix-up."""

    def __init__(self, config: R3GANConfig, width: int, blocks: int):
        super().__init__()
        inner = width * config.expansion
        groups = math.gcd(inner, max(1, inner // config.group_width))
        # Fix-up, Zhang et al. 2019: a branch of m layers is scaled by L^(-1 / (2m - 2)), here m = 3.
        gain = GAIN * blocks ** (-1 / 4)
        self.layers = nn.Sequential(
            scaled(nn.Conv2d(width, inner, 1), gain),
            nn.LeakyReLU(0.2),
            scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=groups), gain),
            nn.LeakyReLU(0.2),
            scaled(nn.Conv2d(inner, width, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W), as x."""
        return x + self.layers(x)


class Resize(nn.Module):
    """Bilinear resizing to `size` pixels a side, with a 1x1 convolution if the width changes."""

    def __init__(self, before: int, after: int, size: int):
        super().__init__()
        self.size = size
        self.mix = scaled(nn.Conv2d(before, after, 1, bias=False), 1.0) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, size, size)."""
        # The two commute, so the convolution takes the smaller map.
        if x.shape[-1] > self.size:
            return self.mix(self._resized(x))
        return self._resized(self.mix(x))

    def _resized(self, x: Tensor) -> Tensor:
        # Halving averages 2x2 pixels. From 7 to 3 it would skip pixels without antialiasing.
        skips = x.shape[-1] > self.size and x.shape[-1] % self.size != 0
        size = (self.size, self.size)
        return interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=skips)


def stages(config: R3GANConfig, sizes: Sequence[int], widths: Sequence[int]) -> list[nn.Module]:
    """Residual blocks at each size, with resizing between them."""
    blocks, layers = len(sizes) * config.blocks, list[nn.Module]()
    for i, (size, width) in enumerate(zip(sizes, widths, strict=True)):
        layers += [Resize(widths[i - 1], width, size)] if i else []
        layers += [Residual(config, width, blocks) for _ in range(config.blocks)]
    return layers


class Generator(family.Generator):
    """A learned small feature map scaled by z, residual blocks with bilinear doubling, 1x1 to colours."""

    def __init__(self, config: R3GANConfig, card: DataSpec):
        super().__init__()
        feature_maps = shapes(card.resolution // config.patch, config.width, config.max_width)
        sizes, widths = (numbers[::-1] for numbers in feature_maps)  # 3, 7, 14, 28 and 128, 64, 32, 16
        self.latent = config.latent
        self.basis = nn.Parameter(torch.randn(widths[0], sizes[0], sizes[0]))
        self.scale = scaled(nn.Linear(config.latent, widths[0], bias=False), 1.0)
        colours = scaled(nn.Conv2d(widths[-1], card.channels * config.patch**2, 1), 1.0)
        self.layers = nn.Sequential(*stages(config, sizes, widths), colours, nn.PixelShuffle(config.patch))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """G(z), (N, C, H, W); the label is not used."""
        h = self.basis * self.scale(z)[:, :, None, None]  # (N, 128, 3, 3)
        return self.layers(h.contiguous(memory_format=torch.channels_last)).float()

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), z ~ N(0, I)."""
        return to_image(self(noise(self.latent)))


class Features(nn.Module):
    """The mirror image of G: 1x1 from colours, residual blocks with bilinear halving, a weighted sum."""

    def __init__(self, config: R3GANConfig, card: DataSpec):
        super().__init__()
        sizes, widths = shapes(card.resolution // config.patch, config.width, config.max_width)
        self.width = widths[-1]
        colours = scaled(nn.Conv2d(card.channels * config.patch**2, widths[0], 1), 1.0)
        basis = scaled(nn.Conv2d(self.width, self.width, sizes[-1], groups=self.width, bias=False), 1.0)
        blocks = stages(config, sizes, widths)
        self.layers = nn.Sequential(nn.PixelUnshuffle(config.patch), colours, *blocks, basis, nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width)."""
        return self.layers(x)


class R3GAN(dcgan.DCGAN):
    """A GAN of residual networks with a relativistic loss and penalties on images and samples."""

    Config = R3GANConfig
    config: R3GANConfig
    paper = (
        "Huang, Gokaslan, Kuleshov & Tompkin 2024, The GAN is dead; long live the GAN! A Modern "
        "Baseline GAN, https://arxiv.org/abs/2501.05441"
    )

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        """Return G and D, which mirror each other."""
        if config.networks == "dcgan":
            return super().networks(config, card)
        if card.resolution % config.patch:
            raise ValueError(f"patch={config.patch} must divide the resolution, {card.resolution}")
        features = Features(config, card)
        return Generator(config, card), Discriminator(features, features.width, config)
