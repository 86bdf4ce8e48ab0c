"""Zhu, Park, Isola & Efros 2017, Unpaired Image-to-Image Translation (CycleGAN).

https://arxiv.org/abs/1703.10593

    D: min (E[(D_Y(y) - 1)^2] + E[D_Y(G(x))^2]) / 2, and of D_X alike
    G: min E[(D_Y(G(x)) - 1)^2] + E[(D_X(F(y)) - 1)^2] + lambda (|F(G(x)) - x| + |G(F(y)) - y|)
           + lambda identity (|G(y) - y| + |F(x) - x|)

G leads from the domain X of the sources to the domain Y of the images, F back; each has a discriminator of
patches, D_Y and D_X. As in the authors' code the generators are updated first, with the identity loss for all
data, and the discriminators see the samples of this update, or samples of the past.

State across batches: each shard has its own two pools of samples, like all buffers of a network.

The paper trains for 200 epochs with `train: {batch: 1, schedule: constant_linear}` and
`data.horizontal_flip: true`; the random jitter is a setting of the family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.adversarial import Adversarial
from models.adversarial_config import AdversarialConfig, LossName, PerImageNorm
from models.data_spec import DataSpec
from models.family import Batch, Noise, Terms
from models.parts.augment import enlarged_crops
from models.parts.image_pool import ImagePool
from models.parts.layers import InstanceNorm, normal_weights, to_image
from models.parts.losses import l1
from models.parts.patches import Patch, PatchDiscriminator
from models.search_space import tunable

SMALLEST = 8  # pixels a side of an image, of which two remain in the residual blocks


class CycleGANConfig(AdversarialConfig):
    """Hyperparameters of CycleGAN: the paper's."""

    # fmt: off
    loss: LossName = tunable("least_squares", choices=("least_squares", "non_saturating", "hinge"),
        source="Zhu et al. 2017, Sec. 4: least_squares, which is more stable")
    # Lambda, the weight of the distances after a cycle.
    cycle: float = tunable(10, ge=0, low=1, high=100, log=True, source="Zhu et al. 2017, Sec. 4: 10")
    # Weight of the identity loss over lambda.
    identity: float = tunable(0.5, ge=0, choices=(0.0, 0.1, 0.5),
        source="Zhu et al. 2017, Sec. 5.2: 0.5 for paintings; authors' code: 0.5")
    # Earlier samples of each domain and shard that the discriminators see; 0: none.
    pool: int = tunable(50, ge=0, choices=(0, 50), source="Zhu et al. 2017, Sec. 4: 50")
    # Pixels a side that one score of D sees.
    patch: Patch = tunable(70, choices=(16, 34, 70), source="Zhu et al. 2017, Sec. 4: 70")
    # Channels of the first feature map of all networks.
    width: int = tunable(64, ge=1, choices=(16, 32, 64), source="Zhu et al. 2017, App. 7.2: 64")
    # Residual blocks; None: 9 from 256 pixels on, 6 from 64 and 2 below.
    blocks: int | None = tunable(None, ge=1, choices=(None, 2, 6, 9),
        source="Zhu et al. 2017, App. 7.2: 6 at 128 pixels, 9 from 256 on")
    # By how much training images are enlarged before they are cropped at random.
    jitter: float = tunable(0.117, ge=0, le=1, choices=(0.0, 0.117),
        source="Zhu et al. 2017, authors' code: from 256 to 286 pixels")
    norm: PerImageNorm = tunable("instance", source="Zhu et al. 2017, App. 7.2: instance")  # of D
    beta2: float = Field(0.999, ge=0, lt=1)
    # fmt: on


def convolution(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A convolution with InstanceNorm, which makes a bias superfluous; padded by reflection at stride 1."""
    mode: Literal["reflect", "zeros"] = "reflect" if stride == 1 else "zeros"
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, padding_mode=mode, bias=False)
    return [layer, InstanceNorm(after)]


class Residual(nn.Module):
    """x + f(x), f being two 3x3 convolutions with ReLU between: Rk of App. 7.2."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(*convolution(width, width, 3), nn.ReLU(), *convolution(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x + self.layers(x)


def num_blocks(config: CycleGANConfig, resolution: int) -> int:
    """Return the number of residual blocks: `config.blocks`, or by resolution."""
    return config.blocks or (9 if resolution >= 256 else 6 if resolution >= 64 else 2)


class Translator(nn.Module):
    """c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3 with tanh, App. 7.2; images keep their size."""

    def __init__(self, channels: int, out: int, resolution: int, config: CycleGANConfig):
        super().__init__()
        w, half = config.width, (resolution + 1) // 2  # halved rounding up
        layers = [*convolution(channels, w, 7), nn.ReLU()]
        for before, after in ((w, 2 * w), (2 * w, 4 * w)):
            layers += [*convolution(before, after, 3, stride=2), nn.ReLU()]
        layers += [Residual(4 * w) for _ in range(num_blocks(config, resolution))]
        for before, after, size in ((4 * w, 2 * w, half), (2 * w, w, resolution)):
            odd = size % 2
            up = nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1 - odd, bias=False)
            layers += [up, InstanceNorm(after), nn.ReLU()]
        layers += [nn.Conv2d(w, out, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return self.layers(x)


class Generator(family.Generator):
    """G: X -> Y and F: Y -> X."""

    def __init__(self, config: CycleGANConfig, card: DataSpec):
        super().__init__()
        assert card.source is not None
        self.config = config
        x, y = card.source.channels, card.channels
        self.G = Translator(x, y, card.resolution, config)
        self.F = Translator(y, x, card.resolution, config)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(x); the noise is not used."""
        return to_image(self.G(batch.source))

    def backward(self, batch: Batch, noise: Noise) -> Tensor:
        """F(y), the sources that belong to images, which are batch.source here."""
        return to_image(self.F(batch.source))

    def forward_cycle(self, batch: Batch, noise: Noise) -> Tensor:
        """F(G(x))."""
        return to_image(self.F(self.G(batch.source)))

    def backward_cycle(self, batch: Batch, noise: Noise) -> Tensor:
        """G(F(y)), with y = batch.source."""
        return to_image(self.G(self.F(batch.source)))


class Discriminators(nn.Module):
    """D_X and D_Y, and the pools of their samples."""

    def __init__(self, config: CycleGANConfig, card: DataSpec):
        super().__init__()
        assert card.source is not None
        norm = InstanceNorm if config.norm == "instance" else None
        shared: dict[str, Any] = {"width": config.width, "norm": norm, "config": config}
        x, y, side = card.source.channels, card.channels, card.resolution
        self.X = PatchDiscriminator(x, side, config.patch, **shared)
        self.Y = PatchDiscriminator(y, side, config.patch, **shared)
        self.pool_X = ImagePool(config.pool, card.source.shape)
        self.pool_Y = ImagePool(config.pool, card.shape)


class Translated(NamedTuple):
    """Images of both domains and their translations, from which the discriminators learn."""

    x: Tensor
    y: Tensor
    fake_x: Tensor
    fake_y: Tensor


class CycleGAN(Adversarial):
    """A GAN that translates between two domains, trained without pairs."""

    Config = CycleGANConfig
    config: CycleGANConfig
    generator: Generator
    discriminator: Discriminators
    task = "translate_unpaired"
    needs = frozenset({"source"})
    paper = (
        "Zhu, Park, Isola & Efros 2017, Unpaired Image-to-Image Translation using Cycle-Consistent "
        "Adversarial Networks, https://arxiv.org/abs/1703.10593"
    )

    def __init__(
        self, config: CycleGANConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        self.phases = self.phases[::-1]  # generators first
        self.translated: dict[int, Translated] = {}  # by id of the batch, in this step

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        """Return the generators and the discriminators with the paper's initial weights."""
        source = card.source_of_same_size()
        if card.resolution < SMALLEST:
            sizes = f"sources have {source.resolution} pixels a side and images {card.resolution}"
            raise ValueError(f"{sizes}; they must have {SMALLEST} or more")
        if config.identity:
            card.check_same_colours("prepare both in colour, or set identity: 0")
        generator, discriminators = Generator(config, card), Discriminators(config, card)
        generator.apply(normal_weights)
        if config.norm == "instance":  # without it such small weights would suppress the signal
            discriminators.apply(normal_weights)
        return generator, discriminators

    @property
    def factor(self) -> int:
        """What makes an objective the paper's: the least squares of Mao et al. 2017 have a half, Eq. 9."""
        return 2 if self.config.loss == "least_squares" else 1

    def begin(self, step: int) -> None:
        """Forget the samples of the step before."""
        super().begin(step)
        self.translated = {}

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """Half of the objectives of D_X and D_Y, which slows them relative to G; on pools, Sec. 4."""
        done = self.translated.pop(id(batch), None)
        if done is None:  # a step without an update of the generators
            x, y = domains(jittered(batch, self.config.jitter))
            done = Translated(x, y, self.generator.F(y), self.generator.G(x))
        D = self.discriminator
        of_x = self.discriminator_terms(D.X, done.x, D.pool_X(done.fake_x), batch)
        of_y = self.discriminator_terms(D.Y, done.y, D.pool_Y(done.fake_y), batch)
        terms = {
            f"{name}_{domain}": self.factor / 2 * term
            for domain, (of_domain, _) in (("X", of_x), ("Y", of_y))
            for name, term in of_domain.items()
        }
        return terms, averaged(of_x[1], of_y[1])

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F), Eq. 3, and the identity loss, Sec. 5.2."""
        c, G, F, D = self.config, self.generator.G, self.generator.F, self.discriminator
        x, y = domains(jittered(batch, c.jitter))
        if c.identity:  # of both losses together, which is faster than one after the other
            (fake_x, same_x), (fake_y, same_y) = (
                m(torch.cat(z)).chunk(2) for m, z in ((F, (y, x)), (G, (x, y)))
            )
        else:
            fake_x, fake_y = F(y), G(x)
        of_x, observed_x = self.generator_score(D.X, x, fake_x, batch)
        of_y, observed_y = self.generator_score(D.Y, y, fake_y, batch)
        terms = {"score": self.factor * (of_x["score"] + of_y["score"])}
        terms["cycle"] = c.cycle * (l1(F(fake_y), x) + l1(G(fake_x), y))
        if c.identity:
            terms["identity"] = c.cycle * c.identity * (l1(same_y, y) + l1(same_x, x))
        self.translated[id(batch)] = Translated(x, y, fake_x.detach(), fake_y.detach())
        return terms, averaged(observed_x, observed_y)


def jittered(batch: Batch, jitter: float) -> Batch:
    """Return images and sources enlarged and cropped at random, each by itself."""
    x, y = domains(batch)
    return dataclasses.replace(batch, source=enlarged_crops(x, jitter), image=enlarged_crops(y, jitter))


def domains(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return x and y: sources and images."""
    assert batch.source is not None and batch.image is not None
    return batch.source, batch.image


def averaged(a: Terms, b: Terms) -> Terms:
    """Return the mean of what was observed of both domains, by name."""
    return {name: (a[name].float().mean() + b[name].float().mean()) / 2 for name in a}
