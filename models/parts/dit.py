"""Peebles & Xie 2023, Scalable Diffusion Models with Transformers.

https://arxiv.org/abs/2212.09748

    x <- x + gate_1 attention(scale_1 norm(x) + shift_1)
    x <- x + cross_attention(x, caption)                       with captions
    x <- x + gate_2 mlp(scale_2 norm(x) + shift_2)

Patches of the image are tokens with fixed position embeddings. The six modulations of a block depend on time
and condition and start at zero (adaLN-zero), so that every block starts as the identity. Attention to
captions follows Chen et al. 2024, PixArt-alpha (https://arxiv.org/abs/2310.00426, Sec. 2.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from models.data_spec import DataSpec
from models.parts.attention import Tokens, attend, zero
from models.parts.conditions import Condition, Embedding

MIN_PATCHES, MAX_PATCHES = 4, 16  # per side, with the default patch
MLP_RATIO = 4  # hidden units of a block's MLP, in widths
FREQUENCIES = 256  # sines and cosines of the time embedding

# Shapes: N images, L patches, P values of a patch, D channels of a token.


def patch_side(resolution: int) -> int:
    """Return the smallest patch that gives 4 to 16 patches a side, or else the largest that gives more."""
    sides = [p for p in range(1, resolution + 1) if resolution % p == 0]
    within = [p for p in sides if MIN_PATCHES <= resolution // p <= MAX_PATCHES]
    return min(within) if within else max([p for p in sides if resolution // p > MAX_PATCHES], default=1)


def patchify(x: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> (N, L, C side^2), in row-major order."""
    return pixel_unshuffle(x, side).flatten(2).transpose(1, 2)


def unpatchify(tokens: Tensor, side: int, resolution: int) -> Tensor:
    """(N, L, C side^2) -> (N, C, resolution, resolution)."""
    rows = resolution // side
    return pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (rows, rows)), side)


def positions(rows: int, dim: int) -> Tensor:
    """Return sines and cosines of each patch's row and column, (rows^2, dim). Vaswani et al. 2017."""
    frequency = 1e-4 ** (torch.arange(dim // 4) / (dim // 4))
    angle = torch.arange(rows)[:, None] * frequency
    wave = torch.cat([angle.sin(), angle.cos()], 1)  # (rows, dim / 2)
    row, column = wave[:, None].expand(-1, rows, -1), wave.expand(rows, -1, -1)
    return torch.cat([row, column], 2).flatten(0, 1)


def heads_of(width: int) -> int:
    """Return the number of heads of 64 channels (32 below width 256), or of fewer if these do not divide."""
    channels = (64, 32, 16) if width >= 256 else (32, 16)
    return next((width // c for c in channels if width % c == 0), 1)


def linear(before: int, after: int) -> nn.Linear:
    """A dense layer initialised as in the paper's code: Glorot & Bengio 2010, zero bias."""
    layer = nn.Linear(before, after)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def norm(width: int) -> nn.LayerNorm:
    """LayerNorm over the channels of a token; the modulation has the scale and shift."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return x (1 + scale) + shift, with tokens x (N, L, D) and the others (N, 1, D)."""
    return x * (1 + scale) + shift


class SelfAttention(nn.Module):
    """Attention of all patches to all."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = linear(width, 3 * width), linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (N, L, 3, heads, D / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return self.out(attend(q, k, v))


class CrossAttention(nn.Module):
    """Attention of all patches to the tokens of a caption, zero at the start."""

    def __init__(self, width: int, heads: int, text: int):
        super().__init__()
        self.heads = heads
        self.q, self.tokens = linear(width, width), Tokens(text, width, heads)
        self.out = zero(nn.Linear(width, width))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        assert condition.text is not None and condition.text_mask is not None
        q = self.q(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, L, D / heads)
        return self.out(attend(q, *self.tokens(condition.text, condition.text_mask)))


class Block(nn.Module):
    """Attention and MLP on the residual stream, each shifted, scaled and gated by the embedding."""

    def __init__(self, width: int, heads: int, text: int, dropout: float):
        super().__init__()
        self.modulation = zero(nn.Linear(width, 6 * width))
        self.norm1, self.attention = norm(width), SelfAttention(width, heads)
        self.caption = CrossAttention(width, heads, text) if text else None
        hidden = MLP_RATIO * width
        self.norm2 = norm(width)
        self.mlp = nn.Sequential(linear(width, hidden), nn.GELU("tanh"), linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, embedding: Tensor, condition: Condition) -> Tensor:
        """(N, L, D) and (N, D) -> (N, L, D)."""
        modulations = self.modulation(embedding)[:, None].chunk(6, 2)  # (N, 1, D) each
        shift1, scale1, gate1, shift2, scale2, gate2 = modulations
        h = self.attention(modulated(self.norm1(x), shift1, scale1))
        x = x + gate1 * self.dropout(h)
        if self.caption is not None:
            x = x + self.caption(x, condition)
        h = self.mlp(modulated(self.norm2(x), shift2, scale2))
        return x + gate2 * self.dropout(h)


class Head(nn.Module):
    """A layer from each token to the pixels of its patch."""

    def __init__(self, width: int, pixels: int):
        super().__init__()
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.norm, self.out = norm(width), zero(nn.Linear(width, pixels))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, L, D) and (N, D) -> (N, L, P)."""
        shift, scale = self.modulation(embedding)[:, None].chunk(2, 2)
        return self.out(modulated(self.norm(x), shift, scale))


class DiT(nn.Module):
    """F(x, t, condition): from patches through transformer blocks to pixels.

    The paper's sizes, with parameters for 32 x 32 x 4 latents, patch 2, no classes and no captions:

    | size | width | depth | heads | parameters |
    | --- | --- | --- | --- | --- |
    | S | 384 | 12 | 6 | 33 M |
    | B | 768 | 12 | 12 | 130 M |
    | L | 1024 | 24 | 16 | 458 M |
    | XL | 1152 | 28 | 16 | 675 M |

    The defaults, with 1.3 M parameters, are for digits on a CPU.
    """

    def __init__(
        self,
        card: DataSpec,
        *,
        patch: int,  # side in pixels
        width: int = 128,  # channels of a token
        depth: int = 4,  # blocks
        heads: int | None = None,  # None: by width
        dropout: float = 0.0,  # of the outputs of attention and MLP
        beside: int = 0,  # channels concatenated with the noisy image
    ):
        super().__init__()
        self.patch, self.resolution = patch, card.resolution
        if card.resolution % patch:
            raise ValueError(f"patch={patch} must divide the resolution, {card.resolution}")
        heads = heads or heads_of(width)
        if width % heads or width % 4:
            raise ValueError(f"width={width} must be a multiple of 4 and of heads={heads}")
        rows, square = card.resolution // patch, patch**2
        self.embedding = Embedding(width, width=FREQUENCIES, num_classes=card.num_classes, text=card.text)
        self.stem = linear((card.channels + beside) * square, width)
        self.position: Tensor
        self.register_buffer("position", positions(rows, width), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, card.text, dropout) for _ in range(depth))
        self.head = Head(width, card.channels * square)

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Images (N, C, H, W), the `time` (N,) of their levels, and a condition -> (N, C, H, W)."""
        embedding = self.embedding(t, condition)
        if condition.image is not None:
            x = torch.cat([x, condition.image], 1)
        tokens = self.stem(patchify(x, self.patch)) + self.position  # (N, L, D)
        for block in self.blocks:
            tokens = block(tokens, embedding, condition)
        return unpatchify(self.head(tokens, embedding), self.patch, self.resolution)
