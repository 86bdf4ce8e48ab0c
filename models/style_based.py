"""The parts that StyleGAN, StyleGAN2 and StyleGAN3 share: settings, styles, the end of D, conditions.

Karras, Laine & Aila 2019, A Style-Based Generator Architecture for Generative Adversarial Networks,
https://arxiv.org/abs/1812.04948; Karras et al. 2020, https://arxiv.org/abs/1912.04958 and
https://arxiv.org/abs/2006.06676.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.adversarial import Adversarial
from models.adversarial_config import Augmentation, FromNoiseConfig
from models.data_spec import DataSpec
from models.family import Batch, Noise, Study
from models.parts.discriminator import MinibatchStddev, batch_statistics
from models.parts.equalised import EqualisedConv, EqualisedLinear
from models.parts.layers import to_image, widened, without_autocast
from models.parts.mapping import Mapping as MappingNetwork
from models.parts.mapping import mixed, truncated
from models.search_space import tunable

ADA: tuple[Augmentation, ...] = ("ada_blit", "ada_geometry", "ada_colour")
DIFFAUGMENT: tuple[Augmentation, ...] = ("colour", "translation", "cutout")


class StyleBasedConfig(FromNoiseConfig):
    """Hyperparameters of all three families, with the authors' values except for the size of the networks."""

    # fmt: off
    latent: int = tunable(512, ge=1, choices=(64, 128, 256, 512), source="Karras et al. 2019, Sec. 2: 512")
    width: int = Field(512, ge=1)  # dimensions of w and of the mapping network's layers
    # Layers of the mapping network.
    mapping_depth: int = tunable(8, ge=1, choices=(2, 4, 8),
        source="Karras et al. 2019, Sec. 2: 8; StyleGAN2-ADA's settings for CIFAR-10: 2")
    mapping_lr_multiplier: float = Field(0.01, gt=0)  # its learning rate over the others'
    # Channels of feature maps of r pixels: channel_base / r, at most channel_max.
    channel_base: int = Field(2048, ge=1)
    channel_max: int = Field(512, ge=1)
    conditional: bool = False  # on the class
    beta1: float = tunable(0.0, ge=0, lt=1, low=0.0, high=0.5, active_if=("optimizer", "adam"),
        source="Karras et al. 2018, App. A: 0")
    beta2: float = Field(0.99, ge=0, lt=1)
    norm: Literal["none"] = "none"
    minibatch_stddev: int = tunable(4, ge=0, choices=(0, 4, 8), source="Karras et al. 2020, App. B: 4")
    augment: tuple[Augmentation, ...] = tunable((),
        choices=((), ADA, DIFFAUGMENT), recommended=ADA,
        source="StyleGAN2-ADA, Sec. 2.3: blits, geometry and colour")
    ada_target: float | None = tunable(None, gt=0, lt=1, low=0.4, high=0.8, recommended=0.6,
        active_if=("augment", ADA, DIFFAUGMENT),
        source="StyleGAN2-ADA, Sec. 3.1: 0.6")  # of E[sign D(x)]; None: p is constant
    # Probability of style mixing.
    mixing: float = tunable(0.9, ge=0, le=1, low=0.0, high=1.0,
        source="Karras et al. 2019, Sec. 3.1: 0.9; StyleGAN2-ADA's settings for CIFAR-10: 0")
    mean_decay: float = Field(0.995, ge=0, lt=1)  # of the mean of w
    bfloat16_resolutions: int = Field(4, ge=0)  # highest resolutions in bfloat16, where the training is
    # Psi of the truncation trick: 1 is no truncation, 0 the mean image.
    truncation: float = tunable(1.0, ge=0, le=1, low=0.3, high=1.0, sampling=True, advises=False,
        source="Karras et al. 2019, App. B: 0.7 for figures, 1 for metrics")
    truncation_cutoff: int | None = Field(None, ge=0)  # layers that are truncated, from the first; None: all
    # fmt: on

    def channels(self, size: int) -> int:
        """The channels of feature maps of `size` pixels a side."""
        return max(1, min(self.channel_base // size, self.channel_max))


def sizes_of(resolution: int) -> list[int]:
    """Return the sizes of feature maps, from 4 to `resolution`.

    Raises:
        ValueError: The resolution is not a power of two from 8 on.
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(
            f"images have {resolution} pixels a side, and must have a power of two from 8 on; "
            "prepare the data with such a resolution"
        )
    return [2**i for i in range(2, resolution.bit_length())]


def precision_of(x: Tensor, low: bool) -> tuple[AbstractContextManager[object], Tensor]:
    """Return a context for the layers of a resolution, and their input: in float32 if not `low`."""
    return (nullcontext(), x) if low else (without_autocast(x), widened(x))


class Generator(family.Generator):
    """G(z) = synthesis(mapping(z)).

    A subclass sets `synthesis_class`, a network that is called with styles (N, num_styles, width) and noise
    inputs (N, 1, size, size) of its `noise_sizes`, and returns images (N, C, H, W).
    """

    synthesis_class: type[nn.Module]
    synthesis: Any

    def __init__(self, config: Any, card: DataSpec):
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(
            config.latent,
            config.width,
            config.mapping_depth,
            card.num_classes if config.conditional else 0,
            lr_multiplier=config.mapping_lr_multiplier,
            mean_decay=config.mean_decay,
        )
        self.synthesis = self.synthesis_class(config, card)

    def styles(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The style w of z (N, latent) for all layers, (N, L, width), not truncated."""
        return self.mapping(z, label)[:, None].expand(-1, self.synthesis.num_styles, -1)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """G(z), (N, C, H, W), with random noise inputs."""
        return self.synthesis(self.styles(z, label))

    def inputs(
        self, batch: Batch, noise: Noise, centres: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Styles of z ~ N(0, I) and noise inputs.

        The settings may ask for truncation: towards `centres` (N, width), by default the mean w.
        """
        config, mean = self.config, self.mapping.mean
        assert mean is not None
        ws = self.styles(noise(config.latent), batch.label)
        if config.truncation < 1:
            centre = mean if centres is None else centres
            ws = truncated(ws, centre, config.truncation, config.truncation_cutoff)
        return ws, [noise(1, size, size) for size in self.synthesis.noise_sizes]

    def sample(self, batch: Batch, noise: Noise, centres: Tensor | None = None) -> Tensor:
        """G(z), z ~ N(0, I), with the truncation trick if the settings ask for it."""
        return to_image(self.synthesis(*self.inputs(batch, noise, centres)))


class Head(nn.Module):
    """From feature maps of 4x4 pixels to a score: the deviation over the batch, and two dense layers.

    With classes it is the product of an embedding of the class and as many outputs: StyleGAN2-ADA's.
    """

    def __init__(self, config: StyleBasedConfig, classes: int):
        super().__init__()
        width = config.channels(4)
        statistics = batch_statistics(width, config)
        vector = [s for s in statistics if not isinstance(s, MinibatchStddev)]
        self.of_map = nn.ModuleList(s for s in statistics if isinstance(s, MinibatchStddev))
        self.of_vector = nn.ModuleList(vector)
        self.conv = EqualisedConv(width + len(self.of_map), width, 3, activation=True)
        self.dense = EqualisedLinear(width * 16, width, activation=True)
        self.score = EqualisedLinear(width + sum(s.width for s in vector), width if classes else 1)
        self.project = (
            MappingNetwork(
                0, width, config.mapping_depth, classes, lr_multiplier=config.mapping_lr_multiplier
            )
            if classes
            else None
        )

    def forward(self, h: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, channels, 4, 4) -> (N,) in float32."""
        with without_autocast(h):
            h = widened(h)
            for statistic in self.of_map:
                plane = statistic(h.flatten(1))[:, :, None, None].expand(-1, -1, *h.shape[2:])
                h = torch.cat([h, plane], 1).contiguous(memory_format=torch.channels_last)
            h = self.dense(self.conv(h).flatten(1))
            score = self.score(torch.cat([h, *(statistic(h) for statistic in self.of_vector)], 1))
            if self.project is None:
                return score.squeeze(1)
            return (score * self.project(None, label)).sum(1) / math.sqrt(score.shape[1])


class StyleBased(Adversarial):
    """A GAN whose generator is controlled by styles; a subclass sets the classes of its networks."""

    config: StyleBasedConfig
    generator: Generator
    generator_class: type[Generator]
    discriminator_class: type[nn.Module]
    takes = frozenset({"label"})

    def networks(self, config: Any, card: DataSpec) -> tuple[Generator, nn.Module]:
        """Return G and D, initialised."""
        if config.conditional and not card.num_classes:
            raise ValueError("conditional=true needs labels, and the data has none")
        return self.generator_class(config, card), self.discriminator_class(config, card)

    @classmethod
    def conditions(cls, config: StyleBasedConfig, card: DataSpec) -> frozenset[str]:
        """Return the conditions of samples: the class if `conditional` is set."""
        return super().conditions(config, card) if config.conditional else frozenset()

    @classmethod
    def studies(cls, config: StyleBasedConfig, card: DataSpec) -> Sequence[Study]:
        """Compare strengths of truncation."""
        variants = {f"{psi:g}": {"truncation": psi} for psi in (0.3, 0.5, 0.7, 0.85, 1.0)}
        return [Study("truncation", "Truncation psi (1: none)", variants)]

    @property
    def num_styles(self) -> int:
        """The number of styles of an image in training."""
        return int(self.generator.synthesis.num_styles)

    def styles(self, batch: Batch) -> Tensor:
        """Styles of random z with style mixing, (N, num_styles, width)."""
        generator, mixing, label = self.generator, self.config.mixing, batch.label
        if not mixing:
            return generator.styles(self.latent(batch), label)[:, : self.num_styles]
        z = torch.cat([self.latent(batch), self.latent(batch)])
        w, other = generator.mapping(z, label if label is None else label.repeat(2)).chunk(2)
        return mixed(w, other, self.num_styles, mixing)

    def fake(self, batch: Batch) -> Tensor:
        """G(z) for each image of `batch`, of its class if conditional."""
        return self.generator.synthesis(self.styles(batch))
