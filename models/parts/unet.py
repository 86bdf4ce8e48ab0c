"""The U-Net of diffusion models.

Ho et al. 2020 (https://arxiv.org/abs/2006.11239) with the scale and shift of Dhariwal & Nichol 2021
(https://arxiv.org/abs/2105.05233), and attention to captions as in Rombach et al. 2022
(https://arxiv.org/abs/2112.10752). Convolutions at the first level dominate the time on a CPU, so four things
differ: blocks of pixels become channels (space to depth), the way up has no more residual blocks than the way
down, skip connections add instead of concatenating by default, and the way up convolves before it upsamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle, silu

from models.data_spec import DataSpec
from models.parts.attention import CrossAttention, SelfAttention, group_norm, zero
from models.parts.conditions import Condition, Embedding


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
        h = silu(torch.addcmul(shift, self.norm2(h), 1 + scale))
        return self.skip(x) + self.conv2(self.dropout(h))


class Attention(nn.Module):
    """Attention between pixels and, with captions, from pixels to tokens."""

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
    """Return the smallest power of two that leaves at most `largest` pixels, as far as it divides."""
    factor = 1
    while resolution // factor > largest and resolution % (2 * factor) == 0:
        factor *= 2
    return factor


class Block(nn.Module):
    """A residual block, optionally followed by attention."""

    def __init__(self, residual: ResidualBlock, attention: Attention | None):
        super().__init__()
        self.residual, self.attention = residual, attention

    def forward(self, h: Tensor, embedding: Tensor, condition: Condition) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        h = self.residual(h, embedding)
        return h if self.attention is None else self.attention(h, condition)


class Down(nn.Conv2d):
    """A convolution that halves the size, rounding up."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Up(nn.Conv2d):
    """A convolution followed by nearest-neighbour upsampling."""

    def __init__(self, before: int, after: int):
        super().__init__(before, after, 3, padding=1)

    def forward(self, h: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C', *size)."""
        return interpolate(super().forward(h), size=size)


class UNet(nn.Module):
    """F(x, t, condition): down the levels, across, and up again, with skip connections."""

    def __init__(
        self,
        card: DataSpec,
        *,
        factor: int,  # side of a block of pixels, of which channels are made
        width: int = 32,  # channels of a level with multiplier 1
        multipliers: Sequence[int] = (1, 2, 2),  # channels of each level, in widths
        blocks: int = 1,  # residual blocks per level, on the way down and on the way up
        concatenate: bool = False,  # features of skip connections; else add them
        attention: bool = True,  # at the lowest level
        attention_levels: Sequence[int] = (),  # levels, from 0, with attention after every block
        dropout: float = 0.0,
        beside: int = 0,  # channels concatenated with the noisy image
    ):
        super().__init__()
        self.factor = factor
        if card.resolution % factor:
            raise ValueError(f"space_to_depth={factor} must divide the resolution, {card.resolution}")
        dim, square = 4 * width, factor**2
        widths = [width * m for m in multipliers]

        def block(before: int, after: int, attend: bool) -> Block:
            attention = Attention(after, card.text) if attend else None
            return Block(ResidualBlock(before, after, dim, dropout), attention)

        self.embedding = Embedding(dim, width=width, num_classes=card.num_classes, text=card.text)
        self.stem = nn.Conv2d((card.channels + beside) * square, widths[0], 3, padding=1)
        self.concatenate = concatenate
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = widths[0]
        for level, after in enumerate(widths):
            if level > 0:
                self.down.append(Down(before))
            for _ in range(blocks):
                self.down.append(block(before, after, level in attention_levels))
                before = after
        self.across = block(before, before, attention)
        for level, after in reversed(list(enumerate(widths))):
            for _ in range(blocks):
                before = 2 * after if concatenate else after
                self.up.append(block(before, after, level in attention_levels))
            if level > 0:
                self.up.append(Up(after, widths[level - 1]))
        self.head = nn.Sequential(
            group_norm(widths[0]),
            nn.SiLU(),
            zero(nn.Conv2d(widths[0], card.channels * square, 3, padding=1)),
        )

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Images (N, C, H, W), the `time` (N,) of their levels, and a condition -> (N, C, H, W)."""
        embedding = self.embedding(t, condition)
        if condition.image is not None:
            x = torch.cat([x, condition.image], 1)
        h = self.stem(pixel_unshuffle(x, self.factor))
        skips = []  # outputs of the blocks on the way down
        for layer in self.down:
            if isinstance(layer, Down):
                h = layer(h)
            else:
                skips.append(h := layer(h, embedding, condition))
        h = self.across(h, embedding, condition)
        for layer in self.up:
            if isinstance(layer, Up):
                h = layer(h, skips[-1].shape[2:])
            else:
                skip = skips.pop()
                h = torch.cat([h, skip], 1) if self.concatenate else h + skip
                h = layer(h, embedding, condition)
        return pixel_shuffle(self.head(h), self.factor)
