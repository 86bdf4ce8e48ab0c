"""Conditions of diffusion networks: the time, a class, a caption, another image.

Guidance is that of Ho & Salimans 2022, Classifier-Free Diffusion Guidance, https://arxiv.org/abs/2207.12598:
training drops the condition of some images, and sampling extrapolates from the unconditional prediction. The
null condition has its own embedding, which no class or caption shares.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from models.family import Batch


@dataclass(frozen=True)
class Condition:
    """The condition of one batch; axis 0 of every tensor is the batch."""

    label: Tensor | None = None  # (N,) int64; num_classes: no label
    text: Tensor | None = None  # (N, L, D) encoded captions
    text_mask: Tensor | None = None  # (N, L) bool, true for tokens; a row without tokens: no caption
    image: Tensor | None = None  # (N, C', H, W), concatenated with the noisy image and never dropped

    def dropped(self, drop: Tensor, null: int) -> Condition:
        """Return the condition with null labels and captions where `drop` is true.

        Args:
            drop: (N,) bool.
            null: The null label.
        """
        label = None if self.label is None else torch.where(drop, null, self.label)
        mask = None if self.text_mask is None else self.text_mask & ~drop[:, None]
        return dataclasses.replace(self, label=label, text_mask=mask)

    def with_unconditional(self, null: int) -> Condition:
        """Concatenate the condition and the unconditional one, (2 N, ...), for guidance."""
        n, device = next((t.shape[0], t.device) for t in (self.label, self.text) if t is not None)
        unconditional = self.dropped(torch.ones(n, dtype=torch.bool, device=device), null)
        pairs = zip(vars(self).values(), vars(unconditional).values(), strict=True)
        return Condition(*(None if a is None else torch.cat([a, b]) for a, b in pairs))


def sinusoids(t: Tensor, dim: int) -> Tensor:
    """Return sines and cosines of 1000 t at frequencies from 1 to 1e-4, (N, dim). Vaswani et al. 2017."""
    frequency = torch.exp(-math.log(1e4) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    angle = 1000 * t.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1)


class Embedding(nn.Module):
    """One vector for all blocks: the embeddings of time, class and mean caption, summed."""

    def __init__(self, dim: int, *, width: int, num_classes: int = 0, text: int = 0):
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
        # The last row is the null label.
        self.label = nn.Embedding(num_classes + 1, dim) if num_classes else None
        self.text = Caption(text, dim) if text else None

    def forward(self, t: Tensor, condition: Condition) -> Tensor:
        """The `time` (N,) of levels, and a condition -> (N, dim)."""
        embedding = self.time(sinusoids(t, self.width))
        if self.label is not None:
            assert condition.label is not None
            embedding = embedding + self.label(condition.label)
        if self.text is not None:
            embedding = embedding + self.text(condition)
        return silu(embedding)


class Caption(nn.Module):
    """The projected mean over the tokens of a caption; a learned vector replaces a missing caption."""

    def __init__(self, text: int, dim: int):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(text, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.nothing = nn.Parameter(torch.zeros(text))

    def forward(self, condition: Condition) -> Tensor:
        """(N, L, D) and its mask -> (N, dim)."""
        assert condition.text is not None and condition.text_mask is not None
        mask = condition.text_mask[:, :, None].to(condition.text.dtype)  # (N, L, 1)
        mean = (condition.text * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.project(torch.where(condition.text_mask.any(1, keepdim=True), mean, self.nothing))


def condition_of(batch: Batch, kinds: frozenset[str]) -> Condition:
    """Return the condition in a batch; `kinds` is a subset of label and text."""
    label = batch.label if "label" in kinds else None
    return Condition(label, batch.text, batch.text_mask) if "text" in kinds else Condition(label)
