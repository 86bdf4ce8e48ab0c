"""Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, Analyzing and Improving ... StyleGAN.

https://arxiv.org/abs/1912.04958

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))] + gamma/2 E[|grad D(x)|^2]
    G: min E[-log D(G(z))] + gamma_pl E[(|J_w^T y| - a)^2]

G maps z to w, which scales the weights of a skip generator's convolutions; D is residual (Sec. 4, config F).
Both regularisers are lazy: they run in phases of their own every 16 and every 4 steps, with their weights
multiplied by these numbers and Adam corrected (App. B). With ada_target: 0.6 and its augmentations this is
StyleGAN2-ADA, Karras et al. 2020, https://arxiv.org/abs/2006.06676, whose conditional D it has.

The mean of w is a buffer of G and belongs to a shard, as BatchNorm's statistics do; the mean path length a is
updated from a mean over all shards. The authors train the four highest resolutions in float16, with weights
and styles normalised and activations clamped; bfloat16 has float32's range and needs neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.optim import Optimizer

from models import style_based
from models.data_spec import DataSpec
from models.family import DISCRIMINATOR, GENERATOR, Batch, Motion, Noise, Phase, Terms
from models.parts.equalised import GAIN, SLOPE, EqualisedConv, EqualisedLinear
from models.parts.fourier import FourierInput
from models.parts.layers import RMSProp, adam
from models.parts.losses import zero_centred
from models.parts.modulation import NoiseInput, modulated_conv
from models.parts.upfirdn import fir_filter, upsample
from models.style_based import Head, StyleBased, precision_of, sizes_of
from models.stylegan2_config import StyleGAN2Config

R1_PHASE, PATH_PHASE = f"{DISCRIMINATOR}_r1", f"{GENERATOR}_path"


# The generator.


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and leaky ReLU; with a filter, it doubles the size. Fig. 2 (d)."""

    filter: Tensor | None

    def __init__(self, width: int, before: int, after: int, up: Tensor | None = None):
        super().__init__()
        self.affine = EqualisedLinear(width, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.bias = nn.Parameter(torch.zeros(after, 1, 1))
        self.noise = NoiseInput()
        self.register_buffer("filter", up, persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, before, H, W), w (N, width), noise (N, 1, H', W') or None: random -> (N, after, H', W')."""
        y = modulated_conv(x, self.weight, self.affine(w), up=self.filter, gain=GAIN)
        y = self.noise(y, noise, gain=GAIN) + (GAIN * self.bias).to(y.dtype)
        return leaky_relu(y, SLOPE, inplace=True)  # has the gain already


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation."""

    def __init__(self, width: int, before: int, colours: int):
        super().__init__()
        self.affine = EqualisedLinear(width, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(colours, before, 1, 1))
        self.bias = nn.Parameter(torch.zeros(colours, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, colours, H, W) in float32."""
        gain = self.weight.shape[1] ** -0.5
        y = modulated_conv(x, self.weight, self.affine(w), demodulate=False, gain=gain)
        return y.float() + self.bias


class SynthesisBlock(nn.Module):
    """The layers of one resolution: an enlarging convolution (but at 4x4), another one, and colours."""

    def __init__(self, config: StyleGAN2Config, size: int, colours: int, low: bool):
        super().__init__()
        before, after = config.channels(size // 2), config.channels(size)
        self.low = low
        self.up = StyledConv(config.width, before, after, fir_filter()) if size > 4 else None
        self.conv = StyledConv(config.width, after, after)
        self.colours = ToRGB(config.width, after, colours)

    @property
    def layers(self) -> list[StyledConv]:
        """The convolutions with noise inputs."""
        return [self.conv] if self.up is None else [self.up, self.conv]

    def forward(
        self, x: Tensor, ws: Sequence[Tensor], noises: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Return features and colours. `ws` has one style more than there are convolutions."""
        precision, x = precision_of(x, self.low)
        with precision:
            for layer, w, noise in zip(self.layers, ws, noises, strict=False):
                x = layer(x, w, noise)
            return x, self.colours(x, ws[len(self.layers)])


class Constant(nn.Module):
    """A learned image of 4x4 pixels."""

    def __init__(self, channels: int):
        super().__init__()
        self.image = nn.Parameter(torch.randn(channels, 4, 4))

    def forward(self, n: int, motion: Motion | None = None) -> Tensor:
        """The image, (n, channels, 4, 4); a constant does not move."""
        return self.image.expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)


class Synthesis(nn.Module):
    """From one style for each layer to an image: the sum of the colours of all resolutions. Fig. 7 (b)."""

    filter: Tensor

    def __init__(self, config: StyleGAN2Config, card: DataSpec):
        super().__init__()
        self.sizes = sizes_of(card.resolution)
        self.num_styles = 2 * len(self.sizes)
        channels = config.channels(4)
        self.input = FourierInput(channels, 4, 2) if config.input == "fourier" else Constant(channels)
        top = self.sizes[-config.bfloat16_resolutions :] if config.bfloat16_resolutions else []
        self.blocks = nn.ModuleList(
            SynthesisBlock(config, size, card.channels, size in top) for size in self.sizes
        )
        self.register_buffer("filter", fir_filter(), persistent=False)

    @property
    def noise_sizes(self) -> list[int]:
        """The sizes of the noise inputs, layer by layer: 4, 8, 8, 16, 16."""
        return [4, *(size for size in self.sizes[1:] for _ in range(2))]

    def forward(
        self, ws: Tensor, noises: Sequence[Tensor] | None = None, motion: Motion | None = None
    ) -> Tensor:
        """The images, (N, C, H, W) in float32.

        Args:
            ws: Styles, (N, num_styles, width).
            noises: (N, 1, size, size) for each of `noise_sizes`; None: drawn from torch's generator.
            motion: Of the input, if that is Fourier features.
        """
        styles, x, image = ws.unbind(1), self.input(ws.shape[0], motion), None
        inputs: Sequence[Tensor | None] = noises or [None] * len(self.noise_sizes)
        first = 0  # layer of the block
        for block in self.blocks:
            x, colours = block(x, styles[first:], inputs[first:])
            image = colours if image is None else upsample(image, self.filter) + colours
            first += 1 if first == 0 else 2
        assert image is not None
        return image


class Generator(style_based.Generator):
    """G(z) = synthesis(mapping(z))."""

    config: StyleGAN2Config
    synthesis_class: type[nn.Module] = Synthesis

    @property
    def can_move(self) -> bool:
        """Whether its input can be rotated and shifted."""
        return self.config.input == "fourier"

    def moved(self, batch: Batch, noise: Noise, motion: Motion | None = None) -> Tensor:
        """The samples with a motion of their input, not clipped."""
        return self.synthesis(*self.inputs(batch, noise), motion)


# The discriminator.


class ResidualBlock(nn.Module):
    """Two convolutions, the second halving the size, and a 1x1 convolution beside them. Fig. 7 (c)."""

    def __init__(self, before: int, after: int, low: bool):
        super().__init__()
        self.low = low
        down, half = fir_filter(), math.sqrt(0.5)  # of the variance, on each branch
        self.first = EqualisedConv(before, before, 3, activation=True)
        self.second = EqualisedConv(before, after, 3, down=down, activation=True, gain=half)
        self.skip = EqualisedConv(before, after, 1, down=down, bias=None, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / 2, W / 2)."""
        precision, x = precision_of(x, self.low)
        with precision:
            return self.second(self.first(x)) + self.skip(x)


class Discriminator(nn.Module):
    """Colours, residual blocks to 4x4, the deviation over the batch, and two dense layers. Fig. 7 (c)."""

    def __init__(self, config: StyleGAN2Config, card: DataSpec):
        super().__init__()
        sizes, classes = sizes_of(card.resolution)[::-1], card.num_classes if config.conditional else 0
        top = sizes[: config.bfloat16_resolutions]
        self.colours = EqualisedConv(card.channels, config.channels(sizes[0]), 1, activation=True)
        self.blocks = nn.Sequential(
            *(ResidualBlock(config.channels(s), config.channels(s // 2), s in top) for s in sizes[:-1])
        )
        self.head = Head(config, classes)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x), (N,): a logit if the objective treats D as a probability."""
        return self.head(self.blocks(self.colours(x)), label)


# The training.


def path_lengths(images: Tensor, ws: Tensor) -> Tensor:
    """|J_w^T y| for random images y ~ N(0, I), (N,), divided by sqrt(H W L). Sec. 3.2.

    With this normalisation the weight 2 is the paper's gamma_pl = ln 2 / (r^2 (ln r - ln 2)), App. B, since
    there are L = 2 log2(r) - 2 layers.
    """
    y = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)  # (N, L, width)
    return (gradient.float().square().sum(2).mean(1) + 1e-12).sqrt()  # differentiable at 0


class StyleGAN2(StyleBased):
    """A GAN of a style-based generator and a residual discriminator, with lazy regularisation."""

    Config = StyleGAN2Config
    config: StyleGAN2Config
    generator: Generator
    discriminator: Discriminator
    path_mean: Tensor
    generator_class: type[style_based.Generator] = Generator
    discriminator_class = Discriminator
    paper = (
        "Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, Analyzing and Improving the Image Quality "
        "of StyleGAN, https://arxiv.org/abs/1912.04958"
    )

    def __init__(
        self, config: StyleGAN2Config, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        self.register_buffer("path_mean", torch.zeros(()))  # a
        of_d, of_g = self.phases
        lazy = [Phase(R1_PHASE, self.r1_loss, of_d.optimizer, config.r1_every)] if self.penalises else []
        path = [Phase(PATH_PHASE, self.path_loss, of_g.optimizer, config.path_every, self.after_path)]
        self.phases = (of_d, *lazy, of_g, *(path if config.path_weight else []))

    @property
    def penalises(self) -> bool:
        """Whether D's phase of penalties is due at all."""
        return self.config.r1 != 0 or self.config.r2 > 0

    @classmethod
    def for_batch(cls, config: StyleGAN2Config, card: DataSpec, batch: int) -> StyleGAN2Config:
        """Return the settings with gamma = 0.0002 resolution^2 / batch, if it is not set."""
        config = super().for_batch(config, card, batch)
        if config.r1 is not None:
            return config
        if config.loss != "non_saturating":
            raise ValueError(
                "r1 is not set, and its rule, 0.0002 resolution^2 / batch, is for loss: non_saturating; "
                "set r1"
            )
        return config.model_copy(update={"r1": 0.0002 * card.resolution**2 / batch})

    def optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """Return Adam with lr c and betas^c, c = k / (k + 1), for a network with a lazy phase. App. B.

        A phase that runs every k steps adds an update to k others, which together should change the network
        and forget old gradients as k updates do.
        """
        config, of_d = self.config, network is self.discriminator
        every = config.r1_every if of_d else config.path_every
        lazy = self.penalises if of_d else config.path_weight > 0
        c = every / (every + 1) if lazy else 1.0
        if config.optimizer == "rmsprop":
            return RMSProp(network.parameters(), lr=lr * c)
        return adam(network, lr=lr * c, betas=(config.beta1**c, config.beta2**c))

    @property
    def gammas(self) -> tuple[float, float]:
        """No penalties in D's main phase."""
        return 0.0, 0.0

    def r1_loss(self, batch: Batch) -> Terms:
        """K gamma/2 E[|grad D(x)|^2], and the same for samples if r2 is set."""
        config, terms = self.config, Terms()
        assert config.r1 is not None, "`for_batch` sets it"
        for name, gamma in (("r1", config.r1), ("r2", config.r2)):
            if gamma:
                images = batch.image if name == "r1" else self.fake(batch)
                assert images is not None
                x = images.detach().requires_grad_()
                score = self.discriminator(self.augmented_input(x, batch), batch.label)
                terms[name] = config.r1_every * gamma * zero_centred(score, x)
        return terms

    def path_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """K gamma_pl E[(|J_w^T y| - a)^2], Eq. 4, on a part of the batch."""
        config = self.config
        part = batch[: max(1, len(batch) // config.path_shrink)]
        ws = self.styles(part)
        lengths = path_lengths(self.generator.synthesis(ws), ws)
        penalty = config.path_every * config.path_weight * (lengths - self.path_mean).square()
        return {"path": penalty}, {"path_length": lengths}

    def after_path(self, terms: Terms) -> None:
        """Move a, the mean path length, by the mean of all shards."""
        self.path_mean.lerp_(terms["path_length"], self.config.path_decay)
