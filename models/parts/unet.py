"""The U-Net of diffusion models.

Ho et al. 2020 (https://arxiv.org/abs/2006.11239) with the scale and shift of Dhariwal & Nichol 2021
(https://arxiv.org/abs/2105.05233), and attention to captions as in Rombach et al. 2022
(https://arxiv.org/abs/2112.10752). Four things differ from those, since convolutions at the first level are
what takes the time on a CPU: blocks of pixels are channels (space to depth), there are as many residual
blocks up as down, what is left on the way down is added rather than laid beside (but where asked), and the
way up is convolved before it is enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle, silu

from models.family import Card
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


class Block(nn.Module):
    """A residual block and, where it attends, attention after it."""

    def __init__(self, residual: ResidualBlock, attention: Attention | None):
        super().__init__()
        self.residual, self.attention = residual, attention

    def forward(self, h: Tensor, embedding: Tensor, condition: Condition) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        h = self.residual(h, embedding)
        return h if self.attention is None else self.attention(h, condition)


class Down(nn.Conv2d):
    """A convolution to half the size, rounded up."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Up(nn.Conv2d):
    """A convolution, then nearest pixels to a larger size."""

    def __init__(self, before: int, after: int):
        super().__init__(before, after, 3, padding=1)

    def forward(self, h: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C', *size)."""
        return interpolate(super().forward(h), size=size)


class UNet(nn.Module):
    """F(x, t, condition): down the levels, across, and up again with what was left on the way down."""

    def __init__(
        self,
        card: Card,
        *,
        width: int = 32,  # channels at the first level, and in each by its multiplier
        multipliers: Sequence[int] = (1, 2, 2),
        blocks: int = 1,  # residual blocks by level, down and up alike
        concatenate: bool = False,  # what was left on the way down; else it is added
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

        def block(before: int, after: int, attends: bool) -> Block:
            attention = Attention(after, card.text) if attends else None
            return Block(ResidualBlock(before, after, dim, dropout), attention)

        self.embedding = Embedding(dim, width=width, num_classes=card.num_classes, text=card.text)
        self.stem = nn.Conv2d((card.channels + beside) * square, widths[0], 3, padding=1)
        self.concatenate = concatenate
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now = widths[0]
        for level, after in enumerate(widths):
            if level > 0:
                self.down.append(Down(now))
            for _ in range(blocks):
                self.down.append(block(now, after, level in attention_levels))
                now = after
        self.across = block(now, now, attention)
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
        """(N, C, H, W), t (N,) as networks are told it, and what it is conditioned on -> (N, C, H, W)."""
        embedding = self.embedding(t, condition)
        if condition.image is not None:
            x = torch.cat([x, condition.image], 1)
        h = self.stem(pixel_unshuffle(x, self.factor))
        left = []  # on the way down, by every block
        for layer in self.down:
            if isinstance(layer, Down):
                h = layer(h)
            else:
                left.append(h := layer(h, embedding, condition))
        h = self.across(h, embedding, condition)
        for layer in self.up:
            if isinstance(layer, Up):
                h = layer(h, left[-1].shape[2:])
            else:
                h = layer(self.joined(h, left.pop()), embedding, condition)
        return pixel_shuffle(self.head(h), self.factor)

    def joined(self, h: Tensor, left: Tensor) -> Tensor:
        """What comes up and what was left on the way down, (N, C, H, W) each -> (N, C or 2 C, H, W)."""
        return torch.cat([h, left], 1) if self.concatenate else h + left
