"""Karras, Laine & Aila 2019, A Style-Based Generator Architecture for Generative Adversarial Networks.

https://arxiv.org/abs/1812.04948

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))] + gamma/2 E[|grad D(x)|^2]
    G: min E[-log D(G(z))]
    AdaIN(x, y) = y_s (x - mean(x)) / std(x) + y_b

G maps z to w, from which each layer's styles y are made; a learned constant is its only input (configuration
F of Table 1, with mixing regularisation). Both networks grow as in Karras et al. 2018,
https://arxiv.org/abs/1710.10196, whose D this is: they begin with small images, and each next resolution is
faded in.

Resolution and fade are a function of the images seen before a step. The batch is the same at all resolutions;
the authors' falls from 256 to 32. They also forget Adam's moments when a resolution begins; here new layers
have none, and old layers keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from models import style_based
from models.data_spec import DataSpec
from models.family import Batch, Terms
from models.parts.equalised import GAIN, SLOPE, Equalised, EqualisedConv, EqualisedLinear, conv_up
from models.parts.layers import widened
from models.parts.modulation import NoiseInput
from models.parts.upfirdn import fir_filter
from models.search_space import tunable
from models.step_counts import Images
from models.style_based import Head, StyleBased, StyleBasedConfig, precision_of, sizes_of

# Of the filter of all resampling of features: the paper's binomial filter, [1, 2, 1], after pixels have been
# doubled, [1, 1], or before pairs of them are averaged.


class Growth(NamedTuple):
    """The resolution of the networks, and how far its layers are faded in: 0 to 1."""

    resolution: int
    fade: float


class StyleGANConfig(StyleBasedConfig):
    """Hyperparameters of StyleGAN: the paper's except for the size of the networks."""

    # fmt: off
    # Channels of feature maps of r pixels: channel_base / r, at most channel_max.
    channel_base: int = tunable(2048, ge=1, choices=(1024, 2048, 4096, 8192, 16384), recommended=16384,
        source="Karras et al. 2018, App. A: 16384, at most 512 channels")
    lr: float = tunable(0.001, gt=0, low=5e-4, high=3e-3, log=True,
        source="Karras et al. 2018, App. A: 0.001")
    # Factors on both learning rates from a resolution on, as in the authors' code for eight GPUs.
    lr_factors: dict[int, PositiveFloat] = {128: 1.5, 256: 2.0, 512: 3.0}
    # Gamma, of the gradient with respect to the pixels of whole images.
    r1: float = tunable(10.0, ge=0, low=0.01, high=10.0, log=True, source="Karras et al. 2019, App. C: 10")
    # Resolution with which training begins; that of the images or more: the networks do not grow.
    first_resolution: int = tunable(8, ge=4, choices=(4, 8, 16), source="Karras et al. 2019, App. C: 8")
    stable_images: Images = Field(600_000, ge=0)  # with a resolution, before the next one
    fade_images: Images = Field(600_000, ge=1)  # while a resolution is faded in
    images_per_step: int | None = Field(None, ge=1)  # of all workers; None: the batch of the training
    # fmt: on

    @field_validator("first_resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two, as in 4, 8, 16")
        return value

    def lr_factor(self, resolution: int) -> float:
        """Return the factor on the learning rates at a resolution."""
        reached = [size for size in self.lr_factors if size <= resolution]
        return self.lr_factors[max(reached)] if reached else 1.0

    def doublings(self, resolution: int) -> int:
        """The number of resolutions that are faded in, up to this one."""
        return sum(size > self.first_resolution for size in sizes_of(resolution))

    def growth(self, images: int, resolution: int) -> Growth:
        """Return resolution and fade after this number of images. Karras et al. 2018, App. A.

        Each resolution is trained for `stable_images`. The next one is then faded in over `fade_images`.

        Args:
            images: Number of images that D has seen.
            resolution: Of whole images.
        """
        doublings, within = divmod(images, self.stable_images + self.fade_images)
        if doublings >= self.doublings(resolution):
            return Growth(resolution, 1.0)
        size, faded = self.first_resolution << doublings, within - self.stable_images
        return Growth(2 * size, faded / self.fade_images) if faded > 0 else Growth(size, 1.0)


def enlarged(x: Tensor, size: int) -> Tensor:
    """Repeat the pixels of images (N, C, H, W) until they have this size."""
    return x if x.shape[-1] == size else interpolate(x, size=(size, size))


def grown(x: Tensor, growth: Growth) -> Tensor:
    """Shrink whole images to what samples look like: their resolution, and their fade. Fig. 2 of 2018."""
    x = avg_pool2d(x, x.shape[-1] // growth.resolution)
    if growth.fade == 1:
        return x
    return torch.lerp(enlarged(avg_pool2d(x, 2), growth.resolution), x, growth.fade)


# The generator.


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Adaptive instance normalisation: each channel of each image gets this deviation and mean. Eq. 1.

    Args:
        x: (N, C, H, W).
        scale: y_s, (N, C, 1, 1).
        shift: y_b, (N, C, 1, 1).
    """
    x = widened(x)
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return torch.addcmul(widened(shift), x - mean, widened(scale) * (variance + 1e-8).rsqrt())


class Style(nn.Module):
    """Noise, bias, leaky ReLU and AdaIN: what follows the constant and each convolution. Fig. 1 (b)."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.noise = NoiseInput(channels)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.affine = EqualisedLinear(width, 2 * channels)  # to y_s - 1 and y_b, both 0 on average

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, C, H, W), w (N, width), noise (N, 1, H, W) or None: random -> (N, C, H, W)."""
        x = leaky_relu(self.noise(x, noise) + self.bias.to(x.dtype), SLOPE)
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, 1)
        return adain(x, scale + 1, shift).to(x.dtype)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: an enlarging convolution (but at 4x4), and another one."""

    filter: Tensor

    def __init__(self, config: StyleGANConfig, size: int, low: bool):
        super().__init__()
        before, after = config.channels(size // 2), config.channels(size)
        self.low = low
        self.up = Equalised((after, before, 3, 3), bias=None, gain=GAIN) if size > 4 else None
        self.first = Style(config.width, after)
        self.conv = EqualisedConv(after, after, 3, bias=None, gain=GAIN)
        self.second = Style(config.width, after)
        self.register_buffer("filter", fir_filter(), persistent=False)

    def forward(self, x: Tensor, ws: Sequence[Tensor], noises: Sequence[Tensor | None]) -> Tensor:
        """From features of half the size, or the constant, with two styles and noises to features."""
        precision, x = precision_of(x, self.low)
        with precision:
            if self.up is not None:
                x = conv_up(x, self.up.scaled()[0], self.filter)
            x = self.first(x, ws[0], noises[0])
            return self.second(self.conv(x), ws[1], noises[1])


class Synthesis(nn.Module):
    """From two styles for each resolution to an image; the last resolution is faded in."""

    growth: Tensor

    def __init__(self, config: StyleGANConfig, card: DataSpec):
        super().__init__()
        self.sizes = sizes_of(card.resolution)
        self.num_styles = 2 * len(self.sizes)
        top = self.sizes[-config.bfloat16_resolutions :] if config.bfloat16_resolutions else []
        self.constant = nn.Parameter(torch.ones(config.channels(4), 4, 4))
        self.blocks = nn.ModuleList(SynthesisBlock(config, size, size in top) for size in self.sizes)
        self.colours = nn.ModuleList(
            EqualisedConv(config.channels(size), card.channels, 1) for size in self.sizes
        )
        # Resolution and fade with which the network was last trained, and is sampled.
        self.register_buffer("growth", torch.tensor(config.growth(0, card.resolution)))
        self.fixed: Growth | None = None  # the same as numbers, once it does not change any more

    @property
    def noise_sizes(self) -> list[int]:
        """The sizes of the noise inputs, layer by layer: 4, 4, 8, 8, 16, 16."""
        return [size for size in self.sizes for _ in range(2)]

    def forward(self, ws: Tensor, noises: Sequence[Tensor] | None = None) -> Tensor:
        """The images in whole size, (N, C, H, W) in float32, as they were last trained.

        Args:
            ws: Styles, (N, num_styles, width).
            noises: (N, 1, size, size) for each of `noise_sizes`; None: drawn from torch's generator.
        """
        return enlarged(self.image(self.fixed or self.grown(), ws, noises), self.sizes[-1])

    def grown(self) -> Growth:
        """Return the resolution and fade with which the network was last trained."""
        resolution, fade = self.growth.tolist()
        return Growth(int(resolution), fade)

    def image(self, growth: Growth, ws: Tensor, noises: Sequence[Tensor] | None = None) -> Tensor:
        """The images of a stage of growth, (N, C, resolution, resolution) in float32.

        The styles and noises of higher resolutions, if given, have no effect.
        """
        if self.training:
            self.growth.copy_(torch.tensor(growth))
        inputs: Sequence[Tensor | None] = noises or [None] * self.num_styles
        styles, last = ws.unbind(1), self.sizes.index(growth.resolution)
        x = self.constant.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        below = x
        for i, block in enumerate(self.blocks[: last + 1]):
            x, below = block(x, styles[2 * i :], inputs[2 * i :]), x
        image = widened(self.colours[last](x))
        if growth.fade == 1:
            return image
        below = enlarged(widened(self.colours[last - 1](below)), growth.resolution)
        return torch.lerp(below, image, growth.fade)


class Generator(style_based.Generator):
    """G(z) = synthesis(mapping(z))."""

    config: StyleGANConfig
    synthesis: Synthesis
    synthesis_class = Synthesis

    def fix(self) -> None:
        """Sample as the network was last trained, without reading the buffer."""
        self.synthesis.fixed = self.synthesis.grown()


# The discriminator.


class Block(nn.Module):
    """The layers of one resolution: two convolutions, the second halving it."""

    def __init__(self, config: StyleGANConfig, size: int, low: bool):
        super().__init__()
        before, after = config.channels(size), config.channels(size // 2)
        self.low = low
        self.first = EqualisedConv(before, before, 3, activation=True)
        self.second = EqualisedConv(before, after, 3, down=fir_filter(), activation=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / 2, W / 2)."""
        precision, x = precision_of(x, self.low)
        with precision:
            return self.second(self.first(x))


class Discriminator(nn.Module):
    """Blocks from the size of its images to 4x4, and the score. Images of the first block are faded in.

    Attributes:
        fade: Of the layers of the first block, set before each step.
    """

    def __init__(self, config: StyleGANConfig, card: DataSpec):
        super().__init__()
        self.sizes, self.fade = sizes_of(card.resolution), 1.0
        top = self.sizes[-config.bfloat16_resolutions :] if config.bfloat16_resolutions else []
        self.colours = nn.ModuleList(
            EqualisedConv(card.channels, config.channels(s), 1, activation=True) for s in self.sizes
        )
        self.blocks = nn.ModuleList(Block(config, s, s in top) for s in self.sizes[1:])
        self.head = Head(config, card.num_classes if config.conditional else 0)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x), (N,), of images of any of its sizes: a logit if the objective treats D as a probability."""
        first = self.sizes.index(x.shape[-1])
        h = self.colours[first](x)
        for i in range(first, 0, -1):
            h = self.blocks[i - 1](h)
            if i == first and self.fade < 1:
                below = self.colours[i - 1](avg_pool2d(x, 2))
                h = torch.lerp(widened(below), widened(h), self.fade)
        return self.head(h, label)


# The training.


class StyleGAN(StyleBased):
    """A GAN of a style-based generator and a discriminator that grow together."""

    Config = StyleGANConfig
    config: StyleGANConfig
    generator: Generator
    discriminator: Discriminator
    generator_class = Generator
    discriminator_class = Discriminator
    paper = (
        "Karras, Laine & Aila 2019, A Style-Based Generator Architecture for Generative Adversarial "
        "Networks, https://arxiv.org/abs/1812.04948"
    )

    def __init__(
        self, config: StyleGANConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        self.growth = config.growth(0, card.resolution)

    @classmethod
    def for_batch(cls, config: StyleGANConfig, card: DataSpec, batch: int) -> StyleGANConfig:
        """Return the settings with the images per step, if they are not set."""
        config = super().for_batch(config, card, batch)
        return config.model_copy(update={"images_per_step": config.images_per_step or batch})

    @classmethod
    def for_images(
        cls, config: StyleGANConfig, card: DataSpec, images: int, *, smoke: bool = False
    ) -> StyleGANConfig:
        """Return the settings if the networks grow up within these images, which --smoke makes sure of.

        Raises:
            ValueError: The training ends before it has a step with the full resolution.
        """
        doublings = config.doublings(card.resolution)
        if smoke and doublings > 0:
            part = images // (2 * doublings + 1)  # and as many images in full size
            config = config.model_copy(update={"stable_images": part, "fade_images": max(1, part)})
        needed = doublings * (config.stable_images + config.fade_images)
        if needed < images:
            return config
        raise ValueError(
            f"growing from first_resolution={config.first_resolution} to {card.resolution} pixels takes "
            f"{needed:,} images (stable_images={config.stable_images:,} and fade_images="
            f"{config.fade_images:,} for each of {doublings} doublings), and the training ends after "
            f"{images:,} (train.steps times train.batch); train longer, lower stable_images and fade_images, "
            "or raise first_resolution"
        )

    def begin(self, step: int) -> None:
        """Set the resolution, fade and learning rates of this step."""
        super().begin(step)
        assert self.config.images_per_step is not None, "`for_batch` sets it"
        self.growth = self.config.growth(step * self.config.images_per_step, self.card.resolution)
        self.discriminator.fade = self.growth.fade
        self.lr_factor = self.config.lr_factor(self.growth.resolution)

    @property
    def num_styles(self) -> int:
        """The number of styles of an image of the present resolution."""
        return 2 * (self.generator.synthesis.sizes.index(self.growth.resolution) + 1)

    @property
    def gammas(self) -> tuple[float, float]:
        """Gamma of R1 and of R2 over k^2, for images that are k times smaller than whole ones.

        In the authors' code the gradient is with respect to whole images, whose pixels D averages: there are
        k^2 times as many, and each has a k^2th of the gradient.
        """
        factor = (self.growth.resolution / self.card.resolution) ** 2
        return self.config.r1 * factor, self.config.r2 * factor

    def fake(self, batch: Batch) -> Tensor:
        """G(z) of the present resolution, for each image of `batch`, of its class if conditional."""
        return self.generator.synthesis.image(self.growth, self.styles(batch))

    def grown(self, batch: Batch) -> Batch:
        """The batch with its images in the present resolution, faded as samples are."""
        assert batch.image is not None
        return replace(batch, image=grown(batch.image, self.growth))

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(x) - log(1 - D(G(z))) + gamma/2 |grad D(x)|^2, of images of the present resolution."""
        return super().discriminator_loss(self.grown(batch))

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(G(z)), of samples of the present resolution."""
        return super().generator_loss(self.grown(batch))
