"""Liu, Gong & Liu 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow.

https://arxiv.org/abs/2209.03003

    min E[|v(x_t, t) - (eps - x_0)|^2]   with x_t = (1 - t) x_0 + t eps: t = 0 is data, t = 1 is noise

Times are logit-normal as in Esser et al. 2024 (https://arxiv.org/abs/2403.03206); where there are labels,
guidance is that of Ho & Salimans 2022 (https://arxiv.org/abs/2207.12598). The U-Net is that of Ho et al. 2020
(https://arxiv.org/abs/2006.11239) with the scale and shift of Dhariwal & Nichol 2021
(https://arxiv.org/abs/2105.05233); it works on blocks of pixels as channels (space to depth).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle, silu, softmax

from models import family
from models.family import Batch, Card, Config, Family, Noise, Phase, Terms
from models.layers import adam, to_image

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x, t) -> dx/dt, with x (N, C, H, W) and t (N,)."""

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x, t, label) -> dx/dt, with label (N,)."""


class DiffusionConfig(Config):
    """Hyperparameters of the rectified flow, its U-Net and its sampler."""

    width: int = Field(32, ge=16, multiple_of=16)  # channels at the first level
    multipliers: tuple[PositiveInt, ...] = Field((1, 2), min_length=1)  # channels, in widths; a level each
    blocks: int = Field(1, ge=1)  # residual blocks by level, down and up alike
    attention: bool = True  # at the lowest level
    space_to_depth: int | None = Field(None, ge=1)  # side of a block of pixels; None: by resolution
    dropout: float = Field(0.0, ge=0, lt=1)  # within residual blocks
    time_mean: float = 0.0  # of logit(t); Esser et al. 2024, Sec. 3.1
    time_std: float = Field(1.0, gt=0)  # of logit(t)
    label_dropout: float = Field(0.1, ge=0, le=1)  # how often a label is withheld, for guidance
    guidance: float = Field(1.5, ge=0)  # 1: none; above, samples keep closer to their label
    sampler: Literal["heun", "euler"] = "heun"
    sampler_steps: int = Field(12, ge=1)  # of the ODE; Heun evaluates the network twice in all but the last
    lr: float = Field(1e-3, gt=0)  # of AdamW
    weight_decay: float = Field(0.01, ge=0)


# The process, its target and its times


def interpolant(x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x_0 + t eps. Liu et al. 2023, Eq. 1."""
    t = t[:, None, None, None]
    return (1 - t) * x_0 + t * eps


def velocity(x_0: Tensor, eps: Tensor) -> Tensor:
    """The derivative of x_t by t, eps - x_0."""
    return eps - x_0


def logit_normal(n: int, mean: float, std: float, device: torch.device) -> Tensor:
    """Times t = sigmoid(u), u ~ N(mean, std^2), (n,). Esser et al. 2024, Eq. 19."""
    return torch.sigmoid(mean + std * torch.randn(n, device=device))


# Samplers: (velocity, x, times) -> x, with times falling from 1 to 0


def euler(v: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Steps of x + dt v(x, t)."""
    for t, t_next in itertools.pairwise(times):
        x = x + (t_next - t) * v(x, t.expand(len(x)))
    return x


def heun(v: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Steps by the mean of the slopes at both ends; the last one is Euler's, as no training sees t = 0."""
    for t, t_next in itertools.pairwise(times[:-1]):
        slope = v(x, t.expand(len(x)))
        ahead = v(x + (t_next - t) * slope, t_next.expand(len(x)))
        x = x + (t_next - t) * (slope + ahead) / 2
    return euler(v, x, times[-2:])


SAMPLERS: dict[str, Callable[[Velocity, Tensor, Tensor], Tensor]] = {"heun": heun, "euler": euler}


def guided(network: Network, label: Tensor, null: Tensor, scale: float) -> Velocity:
    """v_null + scale (v_label - v_null), both in one pass. Ho & Salimans 2022, Eq. 6, with scale = 1 + w."""
    labels = torch.cat([label, null])

    def combined(x: Tensor, t: Tensor) -> Tensor:
        v_label, v_null = network(torch.cat([x, x]), torch.cat([t, t]), labels).chunk(2)
        return v_null + scale * (v_label - v_null)

    return combined


# The network, bottom-up


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm over 16 channels at a time; over fewer it is eight times slower on a CPU, channels last."""
    return nn.GroupNorm(channels // 16, channels)


def zero(module: nn.Module) -> nn.Module:
    """The module with its parameters at zero, so that a residual branch starts as nothing."""
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


def sinusoids(t: Tensor, dim: int) -> Tensor:
    """Sines and cosines of 1000 t at frequencies from 1 down to 1e-4, (N, dim). Vaswani et al. 2017."""
    frequency = torch.exp(-math.log(1e4) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    angle = 1000 * t.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1)


class Embedding(nn.Module):
    """What all blocks are told: the time, and the label if there are labels."""

    def __init__(self, num_classes: int, width: int, dim: int):
        super().__init__()
        self.width, self.null = width, num_classes
        self.time = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
        # One row more than there are classes: the last one is "no label".
        self.label = nn.Embedding(num_classes + 1, dim) if num_classes else None

    def forward(self, t: Tensor, label: Tensor | None) -> Tensor:
        """(N,) and (N,) -> (N, dim)."""
        embedding = self.time(sinusoids(t, self.width))
        if self.label is not None:
            embedding = embedding + self.label(label)
        return silu(embedding)


class ResidualBlock(nn.Module):
    """x + conv(silu(scale norm(conv(silu(norm(x)))) + shift)), scale and shift from the embedding."""

    def __init__(self, before: int, after: int, dim: int, dropout: float):
        super().__init__()
        self.norm1, self.conv1 = group_norm(before), nn.Conv2d(before, after, 3, padding=1)
        self.modulation = nn.Linear(dim, 2 * after)
        self.norm2, self.conv2 = group_norm(after), zero(nn.Conv2d(after, after, 3, padding=1))
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W) and (N, dim) -> (N, C', H, W)."""
        h = self.conv1(silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)  # (N, C, 1, 1) each
        h = silu(self.norm2(h) * (1 + scale) + shift)
        return self.skip(x) + self.conv2(self.dropout(h))


class Attention(nn.Module):
    """x + softmax(q k^T / sqrt(D)) v over the pixels, in heads of 32 channels, else of 16."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = channels // (16 if channels % 32 else 32)
        self.norm, self.qkv = group_norm(channels), nn.Linear(channels, 3 * channels)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (N, L, C)
        qkv = self.qkv(tokens).unflatten(2, (3, self.heads, -1))  # (N, L, 3, heads, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (N, heads, L, D) each
        # Written out: with so few tokens the fused kernel's backward is ten times slower on a CPU.
        weight = softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]), 3)  # (N, heads, L, L)
        h = (weight @ v).transpose(1, 2).flatten(2)
        return x + self.out(h).transpose(1, 2).unflatten(2, x.shape[2:])


def space_to_depth(resolution: int, largest: int = 16) -> int:
    """The smallest power of two that leaves at most `largest` pixels, as far as it divides `resolution`."""
    factor = 1
    while resolution // factor > largest and resolution % (2 * factor) == 0:
        factor *= 2
    return factor


class UNet(nn.Module):
    """v(x, t, label): down the levels, across, and up again beside what each layer left on the way down."""

    def __init__(self, config: DiffusionConfig, card: Card):
        super().__init__()
        self.factor = config.space_to_depth or space_to_depth(card.resolution)
        if card.resolution % self.factor:
            raise ValueError(f"space_to_depth={self.factor} must divide the resolution, {card.resolution}")
        pixels, dim = card.channels * self.factor**2, 4 * config.width
        widths = [config.width * m for m in config.multipliers]

        def block(before: int, after: int) -> ResidualBlock:
            return ResidualBlock(before, after, dim, config.dropout)

        self.embedding = Embedding(card.num_classes, config.width, dim)
        self.stem = nn.Conv2d(pixels, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, left = widths[0], [widths[0]]
        for level, width in enumerate(widths):
            if level > 0:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                left.append(now)
            for _ in range(config.blocks):
                self.down.append(block(now, width))
                left.append(now := width)
        self.across = block(now, now)
        self.attention = Attention(now) if config.attention else nn.Identity()
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.up.append(block(now + left.pop(), width))
                now = width
            if level > 0:
                self.up.append(nn.Conv2d(now, now := widths[level - 1], 3, padding=1))
        self.head = nn.Sequential(group_norm(now), nn.SiLU(), zero(nn.Conv2d(now, pixels, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N,) and (N,) -> (N, C, H, W)."""
        embedding = self.embedding(t, label)
        h = self.stem(pixel_unshuffle(x, self.factor))
        left = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, ResidualBlock) else layer(h)
            left.append(h)
        h = self.attention(self.across(h, embedding))
        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                h = layer(torch.cat([h, left.pop()], 1), embedding)
            else:
                h = layer(interpolate(h, size=left[-1].shape[2:]))
        return pixel_shuffle(self.head(h), self.factor)


class Generator(family.Generator):
    """The velocity field and the ODE that samples from it."""

    def __init__(self, config: DiffusionConfig, card: Card):
        super().__init__()
        self.config, self.card = config, card
        self.network = UNet(config, card)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """v(x, t, label) in float32."""
        return self.network(x, t, label).float()

    def null(self, like: Tensor) -> Tensor:
        """No label, for each row of `like`: the index after the last class, (N,)."""
        return torch.full((len(like),), self.card.num_classes, device=like.device)

    def field(self, label: Tensor | None, x: Tensor) -> Velocity:
        """The field to integrate: of all images, of the labels, or guided towards the labels."""
        if not self.card.num_classes:
            return self
        if label is not None and self.config.guidance != 1:
            return guided(self, label, self.null(x), self.config.guidance)
        label = self.null(x) if label is None else label
        return lambda x, t: self(x, t, label)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The ODE dx/dt = v from noise at t = 1 to data at t = 0, clamped only at its end."""
        x = noise(*self.card.shape)
        times = torch.linspace(1, 0, self.config.sampler_steps + 1, device=x.device)
        return to_image(SAMPLERS[self.config.sampler](self.field(batch.label, x), x, times))


class Diffusion(Family):
    """A rectified flow, conditional on the class if there are classes."""

    Config = DiffusionConfig
    takes = frozenset({"label"})
    paper = (
        "Liu, Gong & Liu 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with "
        "Rectified Flow, https://arxiv.org/abs/2209.03003"
    )

    def __init__(self, config: DiffusionConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        self.generator: Generator = Generator(config, card)
        optimizer = adam(self.generator, lr=config.lr, weight_decay=config.weight_decay)
        self.phases = (Phase("flow", self.loss, optimizer),)

    def loss(self, batch: Batch) -> Terms:
        """E[|v(x_t, t) - (eps - x_0)|^2] over logit-normal t, per pixel. Liu et al. 2023, Eq. 1."""
        x_0 = batch.image
        assert x_0 is not None
        eps = torch.randn_like(x_0)
        t = logit_normal(len(batch), self.config.time_mean, self.config.time_std, x_0.device)
        v = self.generator(interpolant(x_0, eps, t), t, self.withheld(batch))
        return {"velocity": (v - velocity(x_0, eps)).square().flatten(1).mean(1)}

    def withheld(self, batch: Batch) -> Tensor | None:
        """The labels, each replaced by "no label" with probability `label_dropout`."""
        if not self.card.num_classes:
            return None
        assert batch.label is not None
        drop = torch.rand(batch.label.shape, device=batch.label.device) < self.config.label_dropout
        return torch.where(drop, self.generator.null(batch.label), batch.label)
