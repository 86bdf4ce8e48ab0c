"""Karras, Aittala, Laine, Harkonen, Hellsten, Lehtinen & Aila 2021, Alias-Free GANs (StyleGAN3).

https://arxiv.org/abs/2106.12423

    g(t[z_0]; w) = t[g(z_0; w)]    for translations t (config T), or also rotations (config R)

The losses, phases and D are StyleGAN2's. All signals of G are samples of continuous ones, on a canvas with a
margin: the input is made of Fourier features, and each convolution is followed by a non-linearity between
filters (models/parts/filters.py). There are no noise inputs; style mixing and path lengths are off.

The mean square of each layer's input, by which the layer divides, is an average over all shards, updated once
per step of G. The authors compute the highest rates in float16, for which they also normalise weights and
styles and clamp activations; bfloat16 has float32's range and needs none of this. They fuse the non-linearity
and its filters into a kernel of their own; here the filters are plain convolutions, which is slower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models import stylegan2
from models.data_spec import DataSpec
from models.family import GENERATOR, Batch, Motion, Terms
from models.parts.equalised import EqualisedLinear
from models.parts.filters import Band, bands, filtered_leaky_relu, low_pass, radial_low_pass, resampling
from models.parts.fourier import StyledFourierInput
from models.parts.layers import widened, without_autocast
from models.parts.modulation import modulated_conv
from models.parts.statistics import gathered
from models.parts.upfirdn import upfirdn
from models.search_space import tunable
from models.style_based import sizes_of
from models.stylegan2 import StyleGAN2
from models.stylegan2_config import StyleGAN2Config

CRITICAL = 2  # layers at the end that are critically sampled


class StyleGAN3Config(StyleGAN2Config):
    """Hyperparameters of StyleGAN3: the paper's (App. F.2) except for the size of the networks."""

    # fmt: off
    variant: Literal["t", "r"] = tunable("t",  # equivariant to translation, or also to rotation
        source="Karras et al. 2021, Sec. 3.2: t and r are equally good")
    input: Literal["fourier"] = "fourier"
    layers: int = tunable(14, ge=4, choices=(8, 10, 14), recommended=14,  # N
        source="Karras et al. 2021, Sec. 3.2: 14 for all resolutions")
    margin: int = Field(10, ge=0)  # pixels around the canvas
    filter_size: int = Field(6, ge=2)  # n: input pixels that a pixel depends on when filters enlarge
    oversampling: Literal[2, 4] = 2  # m: of the non-linearity
    mapping_depth: int = tunable(2, ge=1, choices=(2, 4, 8), source="Karras et al. 2021, App. F.2: 2")
    lr_discriminator: float | None = tunable(0.002, gt=0, low=5e-4, high=4e-3, log=True,
        source="Karras et al. 2021, App. F.2: 0.002")
    mixing: float = tunable(0.0, ge=0, le=1, low=0.0, high=1.0, source="Karras et al. 2021, Sec. 3.1: 0")
    path_weight: float = Field(0.0, ge=0)
    # Factor on the colours, which are from -4 to 4 inside (App. F.1). With 1, G's contrast is that of images
    # from the beginning, which helps trainings of minutes.
    output_scale: float = Field(0.25, gt=0)
    magnitude_half_life_images: int = Field(20_000, ge=1)  # of the mean squares, App. F.1
    # The images that D sees are blurred at first; standard deviation in pixels. None: 10 in config R, 0 in T.
    blur: float | None = Field(None, ge=0)
    blur_images: int = Field(200_000, ge=1)  # over which it decays linearly to 0
    images_per_step: int | None = Field(None, ge=1)  # of all workers; None: the batch of the training
    # fmt: on

    @property
    def initial_blur(self) -> float:
        """The standard deviation of the blur before the first step, in pixels."""
        return (10.0 if self.variant == "r" else 0.0) if self.blur is None else self.blur

    def channels_at(self, cutoff: float) -> int:
        """C_base / (2 f_c), at most C_max, channels of a layer with cutoff f_c; twice as many in config R."""
        factor = 2 if self.variant == "r" else 1
        return max(1, round(min(factor * self.channel_base / (2 * cutoff), factor * self.channel_max)))


class Layer(nn.Module):
    """Modulated convolution of normalised features, bias, and the filtered leaky ReLU. Fig. 4 (b).

    Args:
        config: The settings.
        before: Channels of the input.
        after: Channels of the output.
        source: The input's band.
        band: The output's band.
    """

    f_up: Tensor
    f_down: Tensor
    magnitude: Tensor

    def __init__(self, config: StyleGAN3Config, before: int, after: int, source: Band, band: Band):
        super().__init__()
        rotates = config.variant == "r"
        kernel = 1 if rotates else 3
        self.affine = EqualisedLinear(config.width, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after, 1, 1))
        self.register_buffer("magnitude", torch.ones(()))  # E[x^2]
        between = max(source.rate, band.rate) * config.oversampling
        up, down = between // source.rate, between // band.rate
        taps_up, taps_down = config.filter_size * up, config.filter_size * down
        design = radial_low_pass if rotates and band.radial else low_pass
        f_up = low_pass(taps_up, source.cutoff, source.half_width, between)
        self.register_buffer("f_up", f_up, persistent=False)
        f_down = design(taps_down, band.cutoff, band.half_width, between)
        self.register_buffer("f_down", f_down, persistent=False)
        self.plan = resampling(source.size + kernel - 1, band.size, up, down, taps_up, taps_down)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, before, H, W) and styles w (N, width) -> (N, after, H', W')."""
        style, padding = self.affine(w), self.weight.shape[-1] - 1
        y = modulated_conv(x, self.weight, style, padding=padding)
        y = torch.addcmul(self.bias.to(y.dtype), y, self.magnitude.rsqrt().to(y.dtype))
        return filtered_leaky_relu(y, self.f_up, self.f_down, self.plan)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution of normalised features to colours, without demodulation."""

    magnitude: Tensor

    def __init__(self, width: int, before: int, colours: int):
        super().__init__()
        self.affine = EqualisedLinear(width, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(colours, before, 1, 1))
        self.bias = nn.Parameter(torch.zeros(colours, 1, 1))
        self.register_buffer("magnitude", torch.ones(()))  # E[x^2]

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, before, H, W) and styles w (N, width) -> (N, colours, H, W) in float32."""
        gain = self.weight.shape[1] ** -0.5
        y = modulated_conv(x, self.weight, self.affine(w), demodulate=False, gain=gain)
        return torch.addcmul(self.bias, widened(y), self.magnitude.rsqrt())


class Synthesis(nn.Module):
    """From one style for each layer to an image."""

    noise_sizes: Sequence[int] = ()  # it has no noise inputs

    def __init__(self, config: StyleGAN3Config, card: DataSpec):
        super().__init__()
        sizes_of(card.resolution)  # refuses others
        places = bands(card.resolution, config.layers, critical=CRITICAL, margin=config.margin)
        sources = [places[0], *places[:-1]]  # of the layers and of the colours
        channels = [config.channels_at(band.cutoff) for band in sources]
        self.num_styles, self.output_scale = config.layers + 2, config.output_scale
        first = places[0]
        self.input = StyledFourierInput(config.width, channels[0], first.size, first.cutoff, first.rate)
        self.layers = nn.ModuleList(
            Layer(config, before, after, source, band)
            for before, after, source, band in zip(channels, channels[1:], sources, places, strict=False)
        )
        self.colours = ToRGB(config.width, channels[-1], card.channels)
        rates = [max(source.rate, band.rate) for source, band in zip(sources, places, strict=True)]
        self.low = [rate * 2**config.bfloat16_resolutions > card.resolution for rate in rates[:-1]]
        self.squares: Tensor | None = None  # mean squares of the last inputs in training mode

    @property
    def magnitudes(self) -> list[Tensor]:
        """The averages by whose square roots the layers divide, in order."""
        return [layer.get_buffer("magnitude") for layer in (*self.layers, self.colours)]

    def forward(
        self, ws: Tensor, noises: Sequence[Tensor] | None = None, motion: Motion | None = None
    ) -> Tensor:
        """The images, (N, C, H, W) in float32.

        Args:
            ws: Styles, (N, num_styles, width).
            noises: Not used.
            motion: Of the input; the image moves alike.
        """
        first, *styles, last = ws.unbind(1)
        squares = []
        with without_autocast(ws):
            x = self.input(widened(first), motion)
        for layer, low, w in zip(self.layers, self.low, styles, strict=True):
            with nullcontext() if low else without_autocast(x):
                x = x if low else widened(x)
                squares.append(mean_square(x))
                x = layer(x, w)
        squares.append(mean_square(x))
        if self.training:
            self.squares = torch.stack(squares)
        return self.output_scale * self.colours(x, last)

    @torch.no_grad()
    def track(self, squares: Tensor, decay: float) -> None:
        """Move the magnitudes towards the mean squares (layers + 1) of a step."""
        for magnitude, square in zip(self.magnitudes, squares, strict=True):
            magnitude.lerp_(square.to(magnitude.dtype), 1 - decay)


def mean_square(x: Tensor) -> Tensor:
    """E[x^2] over all of x, detached, in float32."""
    return widened(x.detach()).square().mean()


class Generator(stylegan2.Generator):
    """G(z) = synthesis(mapping(z))."""

    config: StyleGAN3Config
    synthesis: Synthesis
    synthesis_class = Synthesis


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Convolve images (N, C, H, W) with a Gaussian of this standard deviation in pixels."""
    radius = math.ceil(3 * sigma)
    at = torch.arange(-radius, radius + 1, device=x.device)
    f = torch.exp(-0.5 * (at / sigma).square())
    return upfirdn(x, f / f.sum(), padding=(radius, radius))


class StyleGAN3(StyleGAN2):
    """StyleGAN2 with an alias-free generator."""

    Config = StyleGAN3Config
    config: StyleGAN3Config
    generator: Generator
    generator_class = Generator
    paper = (
        "Karras, Aittala, Laine, Harkonen, Hellsten, Lehtinen & Aila 2021, Alias-Free Generative "
        "Adversarial Networks, https://arxiv.org/abs/2106.12423"
    )

    def __init__(
        self, config: StyleGAN3Config, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        self.blur = config.initial_blur
        self.squares: list[Tensor] = []  # of the shards of this step
        self.phases = tuple(
            replace(phase, after=self.after_generator) if phase.name == GENERATOR else phase
            for phase in self.phases
        )

    @classmethod
    def for_batch(cls, config: StyleGAN3Config, card: DataSpec, batch: int) -> StyleGAN3Config:  # type: ignore[override]
        """Return the settings with gamma as in StyleGAN2 and the images per step, if they are not set."""
        own = super().for_batch(config, card, batch)
        assert isinstance(own, StyleGAN3Config)
        return own.model_copy(update={"images_per_step": config.images_per_step or batch})

    def begin(self, step: int) -> None:
        """Set the blur of D's images, which decays linearly to 0."""
        super().begin(step)
        elapsed = step * self.images_per_step / self.config.blur_images
        self.blur = self.config.initial_blur * max(0.0, 1 - elapsed)

    @property
    def images_per_step(self) -> int:
        """The images that D sees in a step, of all workers."""
        assert self.config.images_per_step is not None, "`for_batch` sets it"
        return self.config.images_per_step

    def judged(self, x: Tensor, batch: Batch) -> Tensor:
        """Blur what D judges in the first part of training, before augmentations. App. F.2."""
        return blurred(x, self.blur) if self.blur > 0 else x

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(G(z)); keeps the mean squares of G's signals for `after_generator`."""
        result = super().generator_loss(batch)
        assert self.generator.synthesis.squares is not None
        self.squares.append(self.generator.synthesis.squares)
        return result

    def after_generator(self, terms: Terms) -> None:
        """Move the magnitudes of G's layers by the mean squares of all shards."""
        squares = gathered(torch.stack(self.squares)).mean(0)
        self.squares.clear()
        decay = 0.5 ** (self.images_per_step / self.config.magnitude_half_life_images)
        self.generator.synthesis.track(squares, decay)
