"""Attention between the pixels of a feature map, and from pixels to the tokens of a caption."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softmax


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with 16 channels per group; fewer would be eight times slower on a CPU with channels last."""
    return nn.GroupNorm(channels // 16, channels)


def zero(module: nn.Module) -> nn.Module:
    """Set the module's parameters to zero, so that a residual branch starts at zero, and return it."""
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(D)) v with concatenated heads: (N, heads, L, D) each -> (N, L, heads D).

    `mask` (N, 1, 1, L) is true for keys that may be attended to. Vaswani et al. 2017, Eq. 1.
    """
    if q.is_cuda:
        h = scaled_dot_product_attention(q, k, v, mask)
    else:
        # For few tokens on a CPU the backward pass of the fused kernel is ten times slower.
        score = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        if mask is not None:
            score = score.masked_fill(~mask, -math.inf)
        h = softmax(score, 3) @ v
    return h.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """x + attention of all pixels to all, in heads of 32 channels, or 16 if 32 does not divide."""

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
        return x + self.out(attend(q, k, v)).transpose(1, 2).unflatten(2, x.shape[2:])


class Tokens(nn.Module):
    """Keys and values of a caption's tokens, after one learned token, so that no row is empty."""

    def __init__(self, text: int, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.nothing = nn.Parameter(torch.zeros(text))
        self.kv = nn.Linear(text, 2 * channels)

    def forward(self, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, L, D) and its mask -> keys and values (N, heads, 1 + L, D'), and the mask (N, 1, 1, 1 + L)."""
        first = self.nothing.to(text.dtype).expand(text.shape[0], 1, -1)
        kv = self.kv(torch.cat([first, text], 1)).unflatten(2, (2, self.heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4)
        mask = torch.cat([torch.ones_like(text_mask[:, :1]), text_mask], 1)
        return k, v, mask[:, None, None]


class CrossAttention(nn.Module):
    """x + attention of all pixels to the tokens of a caption. Rombach et al. 2022, Sec. 3.3."""

    def __init__(self, channels: int, text: int):
        super().__init__()
        self.heads = channels // (16 if channels % 32 else 32)
        self.norm, self.q = group_norm(channels), nn.Linear(channels, channels)
        self.tokens = Tokens(text, channels, self.heads)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """(N, C, H, W), (N, L, D) and (N, L) -> (N, C, H, W)."""
        q = self.q(self.norm(x).flatten(2).transpose(1, 2)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        h = self.out(attend(q, *self.tokens(text, text_mask)))
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])
