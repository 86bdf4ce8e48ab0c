"""The U-Net of diffusion models.

Ho et al. 2020 (https://arxiv.org/abs/2006.11239) with the scale and shift of Dhariwal & Nichol 2021
(https://arxiv.org/abs/2105.05233), and attention to captions as in Rombach et al. 2022
(https://arxiv.org/abs/2112.10752). It works on blocks of pixels as channels (space to depth), which is what
makes it fast on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle, silu

from models.attention import CrossAttention, SelfAttention, group_norm, zero
from models.conditions import Condition, Embedding
from models.family import Card


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
    """Attention of the pixels to each other and, where there are captions, to those."""

    def __init__(self, channels: int, text: int):
        super().__init__()
        self.pixels = SelfAttention(channels)
        self.caption = CrossAttention(channels, text) if text else None

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        x = self.pixels(x)
        if self.caption is None:
            return x
        assert condition.text is not None and condition.text_mask is not None
        return self.caption(x, condition.text, condition.text_mask)


def space_to_depth(resolution: int, largest: int = 16) -> int:
    """The smallest power of two that leaves at most `largest` pixels, as far as it divides `resolution`."""
    factor = 1
    while resolution // factor > largest and resolution % (2 * factor) == 0:
        factor *= 2
    return factor


class Layers(nn.ModuleList):
    """Layers one after another, each given what it needs."""

    def forward(self, h: Tensor, embedding: Tensor, condition: Condition) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        for layer in self:
            if isinstance(layer, ResidualBlock):
                h = layer(h, embedding)
            else:
                h = layer(h, condition) if isinstance(layer, Attention) else layer(h)
        return h


class Up(nn.Conv2d):
    """Nearest pixels to a larger size, then a convolution."""

    def __init__(self, before: int, after: int):
        super().__init__(before, after, 3, padding=1)

    def forward(self, h: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C', *size)."""
        return super().forward(interpolate(h, size=size))


class UNet(nn.Module):
    """F(x, t, condition): down the levels, across, and up again beside what was left on the way down."""

    def __init__(
        self,
        card: Card,
        *,
        width: int = 32,  # channels at the first level, and in each by its multiplier
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,  # residual blocks by level, down and up alike
        attention: bool = True,  # at the lowest level, across
        attention_levels: Sequence[int] = (),  # and after every block of these, from 0
        factor: int | None = None,  # side of a block of pixels; None: by resolution
        dropout: float = 0.0,
        beside: int = 0,  # channels of an image laid beside the noisy one
    ):
        super().__init__()
        self.factor = factor or space_to_depth(card.resolution)
        if card.resolution % self.factor:
            raise ValueError(f"space_to_depth={self.factor} must divide the resolution, {card.resolution}")
        dim, square = 4 * width, self.factor**2
        widths = [width * m for m in multipliers]

        def block(before: int, after: int, attends: bool) -> Layers:
            residual = ResidualBlock(before, after, dim, dropout)
            return Layers([residual, Attention(after, card.text)] if attends else [residual])

        self.embedding = Embedding(dim, width=width, num_classes=card.num_classes, text=card.text)
        self.stem = nn.Conv2d((card.channels + beside) * square, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, left = widths[0], [widths[0]]
        for level, after in enumerate(widths):
            if level > 0:
                self.down.append(Layers([nn.Conv2d(now, now, 3, stride=2, padding=1)]))
                left.append(now)
            for _ in range(blocks):
                self.down.append(block(now, after, level in attention_levels))
                left.append(now := after)
        self.across = block(now, now, attention)
        for level, after in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(block(now + left.pop(), after, level in attention_levels))
                now = after
            if level > 0:
                self.up.append(Up(now, now := widths[level - 1]))
        self.head = nn.Sequential(
            group_norm(now), nn.SiLU(), zero(nn.Conv2d(now, card.channels * square, 3, padding=1))
        )

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """(N, C, H, W), t (N,) as networks are told it, and what it is conditioned on -> (N, C, H, W)."""
        embedding = self.embedding(t, condition)
        if condition.image is not None:
            x = torch.cat([x, condition.image], 1)
        h = self.stem(pixel_unshuffle(x, self.factor))
        left = [h]
        for layers in self.down:
            left.append(h := layers(h, embedding, condition))
        h = self.across(h, embedding, condition)
        for layers in self.up:
            if isinstance(layers, Up):
                h = layers(h, left[-1].shape[2:])
            else:
                h = layers(torch.cat([h, left.pop()], 1), embedding, condition)
        return pixel_shuffle(self.head(h), self.factor)
