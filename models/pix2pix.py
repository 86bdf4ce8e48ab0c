"""Isola, Zhu, Zhou & Efros 2017, Image-to-Image Translation with Conditional Adversarial Networks (Pix2Pix).

https://arxiv.org/abs/1611.07004

    D: min (E[-log D(x, y)] + E[-log(1 - D(x, G(x, z)))]) / 2
    G: min E[-log D(x, G(x, z))] + lambda E[|y - G(x, z)|]

Pairs (x, y) are a source and its image, of the same size. G is a U-Net whose only noise z is dropout; D is a
PatchGAN that sees the source beside the image. Samples are made as in training (Sec. 3.3): dropout stays on,
and BatchNorm uses the statistics of the test batch, which is a single image here as in the authors' code.
Both can be switched off (dropout_at_test, statistics_at_test).

The paper trains for 200 epochs with `train: {batch: 1, schedule: constant}` and `data.horizontal_flip: true`;
the authors' later code lowers the rate in the second half (`schedule: constant_linear`). The random jitter is
a setting of the family. Sizes other than the paper's 256 pixels change the number of levels (`Generator`).
The innermost layer of the encoder has no BatchNorm, which at batch 1 would zero its only pixel (App. 6.3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm

from models import family
from models.adversarial import Adversarial
from models.adversarial_config import AdversarialConfig, Norm
from models.data_spec import DataSpec
from models.family import Batch, Noise, Study, Terms
from models.parts.augment import enlarged_crops
from models.parts.layers import down, halvings, normal_weights, to_image, up
from models.parts.losses import l1
from models.parts.patches import Patch, PatchDiscriminator
from models.search_space import tunable

WIDEST = 8  # widths of the widest feature map: 512 channels over 64
WITH_DROPOUT = 3  # innermost layers of the decoder: CD512-CD512-CD512, App. 6.1.1

Uniform = Callable[..., Tensor]
"""From a shape (C, H, W) to uniform random numbers in [0, 1), (N, C, H, W)."""


class Pix2PixConfig(AdversarialConfig):
    """Hyperparameters of Pix2Pix: the paper's."""

    # fmt: off
    # Lambda, the weight of |y - G(x, z)|.
    l1: float = tunable(100, ge=0, low=10, high=1000, log=True,
        source="Isola et al. 2017, Sec. 4.2: 100")
    # Pixels a side that one score of D sees.
    patch: Patch = tunable(70, choices=(1, 16, 70, "image"),
        source="Isola et al. 2017, Sec. 4.4 and Fig. 6: 70 of 1, 16, 70 and 286")
    # Channels of the first feature map of both networks; doubled at each halving, up to eight times.
    width: int = tunable(64, ge=1, choices=(16, 32, 64), source="Isola et al. 2017, App. 6.1: 64")
    # Of the three innermost layers of the decoder.
    dropout: float = tunable(0.5, ge=0, lt=1, choices=(0.0, 0.2, 0.5),
        source="Isola et al. 2017, App. 6.1: 0.5")
    # By how much training pairs are enlarged before they are cropped at random.
    jitter: float = tunable(0.117, ge=0, le=1, choices=(0.0, 0.117),
        source="Isola et al. 2017, App. 6.2: from 256 to 286 pixels")
    # Of D; G always has BatchNorm.
    norm: Norm = tunable("batch", source="Isola et al. 2017, App. 6.1: batch")
    # Whether samples have dropout; without it, a source has one image.
    dropout_at_test: bool = tunable(True, sampling=True, source="Isola et al. 2017, Sec. 3.3: yes")
    # Statistics of BatchNorm for samples: of each image alone, or the averages of training.
    statistics_at_test: Literal["image", "training"] = tunable("image", sampling=True,
        source="Isola et al. 2017, Sec. 3.3: of the test batch, which is an image")
    # fmt: on


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that outside of training may take the statistics of each image alone."""

    def forward(self, x: Tensor, per_image: bool = False) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if per_image and not self.training:
            return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return super().forward(x)


class Layer(nn.Module):
    """Activation, convolution, BatchNorm and dropout, as far as a layer of the U-Net has them."""

    def __init__(self, activation: nn.Module, convolution: nn.Module, channels: int = 0, dropout: float = 0):
        super().__init__()
        self.activation, self.convolution = activation, convolution
        self.norm = BatchNorm(channels) if channels else None
        self.dropout = dropout

    def forward(self, h: Tensor, uniform: Uniform | None, per_image: bool) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        h = self.convolution(self.activation(h))
        if self.norm is not None:
            h = self.norm(h, per_image)
        if self.dropout and uniform is not None:
            h = h * (uniform(*h.shape[1:]) >= self.dropout) / (1 - self.dropout)
        return h


class Generator(family.Generator):
    """G(x, z), a U-Net, App. 6.1.1: C64-C128-C256-C512-... down to a pixel, and back with skip connections.

    Every level halves the image, rounding down, until one pixel remains: 8 levels at the paper's 256 pixels,
    5 at 32 (C64-C128-C256-C512-C512) and 4 at 28. The three innermost layers of the decoder have dropout, or
    all but the last if there are fewer.
    """

    def __init__(self, config: Pix2PixConfig, card: DataSpec):
        super().__init__()
        assert card.source is not None
        self.config = config
        sizes = halvings(card.resolution, smallest=1)  # 256, 128, ..., 1
        levels = len(sizes) - 1
        widths = [config.width * min(2**i, WIDEST) for i in range(levels)]  # 64, 128, 256, 512, ...
        encoder, decoder = list[nn.Module](), list[nn.Module]()
        for i, after in enumerate(widths):
            normed = 0 < i < levels - 1
            before = widths[i - 1] if i else card.source.channels
            activation = nn.LeakyReLU(0.2) if i else nn.Identity()
            encoder.append(Layer(activation, down(before, after, bias=not normed), after if normed else 0))
        for i in reversed(range(levels)):
            before = widths[i] * (1 if i == levels - 1 else 2)  # beside it, the features of the encoder
            after, normed = widths[i - 1] if i else card.channels, i > 0
            dropout = config.dropout if normed and levels - 1 - i < WITH_DROPOUT else 0.0
            layer = up(before, after, sizes[i], bias=not normed)
            decoder.append(Layer(nn.ReLU(), layer, after if normed else 0, dropout))
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)

    def forward(self, x: Tensor, uniform: Uniform | None = None, per_image: bool = False) -> Tensor:
        """G(x, z), (N, C, H, W).

        Args:
            x: Sources (N, C', H, W).
            uniform: Draws the dropout, which is z; None: no dropout.
            per_image: Whether BatchNorm takes the statistics of each image alone, outside of training.
        """
        h, skips = x, list[Tensor]()
        for layer in self.encoder:
            h = layer(h, uniform, per_image)
            skips.append(h)
        h = skips.pop()
        for layer in self.decoder:
            h = layer(h, uniform, per_image)
            h = torch.cat([h, skips.pop()], 1) if skips else h
        return h.tanh()

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(x, z) in the same manner as in training, Sec. 3.3, as far as the settings do not change it."""
        assert batch.source is not None
        uniform = noise.uniform if self.config.dropout_at_test else None
        return to_image(self(batch.source, uniform, per_image=self.config.statistics_at_test == "image"))


def jittered(batch: Batch, jitter: float) -> Batch:
    """Return pairs enlarged by 1 + jitter and cropped at random to their former size. App. 6.2."""
    x, y = batch.source, batch.image
    assert x is not None and y is not None
    x, y = enlarged_crops(torch.cat([x, y], 1), jitter).split([x.shape[1], y.shape[1]], 1)
    return dataclasses.replace(batch, source=x, image=y)


class Pix2Pix(Adversarial):
    """A GAN that translates sources to images, trained on pairs."""

    Config = Pix2PixConfig
    config: Pix2PixConfig
    task = "translate"
    needs = frozenset({"source"})
    paper = (
        "Isola, Zhu, Zhou & Efros 2017, Image-to-Image Translation with Conditional Adversarial Networks, "
        "https://arxiv.org/abs/1611.07004"
    )

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        """Return G and D with the paper's initial weights."""
        source = card.source_of_same_size()
        if card.resolution < 4:
            raise ValueError(f"images have {card.resolution} pixels a side, and must have 4 or more")
        generator = Generator(config, card)
        normed = config.norm == "batch"
        discriminator = PatchDiscriminator(
            source.channels + card.channels,
            card.resolution,
            config.patch,
            width=config.width,
            norm=nn.BatchNorm2d if normed else None,
            config=config,
        )
        generator.apply(normal_weights)
        if normed:  # without BatchNorm such small weights would suppress the signal
            discriminator.apply(normal_weights)
        return generator, discriminator

    @classmethod
    def studies(cls, config: Pix2PixConfig, card: DataSpec) -> Sequence[Study]:
        """Compare samples made as in training with those of the usual protocol, Sec. 3.3."""
        variants = {
            f"{'dropout' if dropout else 'no dropout'}, statistics of {statistics}": {
                "dropout_at_test": dropout,
                "statistics_at_test": statistics,
            }
            for dropout in ((True, False) if config.dropout else (False,))
            for statistics in ("image", "training")
        }
        return [Study("inference", "Dropout and batch statistics at test time", variants)]

    def fake(self, batch: Batch) -> Tensor:
        """G(x, z) for each source of `batch`."""
        x = batch.source
        assert x is not None
        return self.generator(x, lambda *shape: torch.rand(len(batch), *shape, device=x.device))

    def judged(self, x: Tensor, batch: Batch) -> Tensor:
        """The source and the image or sample, (N, C' + C, H, W); augmentations change both alike."""
        assert batch.source is not None
        return torch.cat([batch.source, x], 1)

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """Half of the objective of D, which slows D relative to G, Sec. 3.3."""
        terms, observed = super().discriminator_loss(jittered(batch, self.config.jitter))
        return {name: term / 2 for name, term in terms.items()}, observed

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """The objective of G and lambda |y - G(x, z)|, the mean over pixels. Eq. 4."""
        batch = jittered(batch, self.config.jitter)
        y, fake = batch.image, self.fake(batch)
        assert y is not None
        terms, observed = self.generator_score(self.discriminator, y, fake, batch)
        return terms | {"l1": self.config.l1 * l1(y, fake)}, observed
