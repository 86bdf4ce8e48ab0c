"""What diffusion networks are told besides the noisy image: the time, a class, a caption, another image.

Guidance is that of Ho & Salimans 2022, Classifier-Free Diffusion Guidance, https://arxiv.org/abs/2207.12598:
a condition is withheld from some images in training, each image by itself, and samples lean away from what
the network says without it. "Nothing" has a representation of its own, which no class and no caption has.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from models.family import Batch


@dataclass(frozen=True)
class Condition:
    """What one batch is conditioned on; axis 0 of every tensor is the batch."""

    label: Tensor | None = None  # (N,) int64; num_classes: no label
    text: Tensor | None = None  # (N, L, D) encoded captions
    text_mask: Tensor | None = None  # (N, L) bool: which tokens there are; none: no caption
    image: Tensor | None = None  # (N, C', H, W) laid beside the noisy image; never withheld

    def map(self, function: Callable[[Tensor], Tensor]) -> Condition:
        """The condition with `function` applied to every tensor in it."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Condition(**{name: None if v is None else function(v) for name, v in values.items()})

    def withheld(self, drop: Tensor, null: int) -> Condition:
        """The condition with label and caption replaced by "nothing" where `drop` (N,) is true.

        Args:
            drop: (N,) bool.
            null: the label that stands for no label.
        """
        label = None if self.label is None else torch.where(drop, null, self.label)
        mask = None if self.text_mask is None else self.text_mask & ~drop[:, None]
        return dataclasses.replace(self, label=label, text_mask=mask)

    def beside_nothing(self, null: int) -> Condition:
        """The condition, and after it the same with everything withheld: (2 N, ...) for guidance."""
        some = next(t for t in (self.label, self.text) if t is not None)
        drop = torch.ones(len(some), dtype=torch.bool, device=some.device)
        nothing = self.withheld(drop, null)
        pairs = {f.name: (getattr(self, f.name), getattr(nothing, f.name)) for f in dataclasses.fields(self)}
        return Condition(**{name: None if a is None else torch.cat([a, b]) for name, (a, b) in pairs.items()})


def sinusoids(t: Tensor, dim: int) -> Tensor:
    """Sines and cosines of 1000 t at frequencies from 1 down to 1e-4, (N, dim). Vaswani et al. 2017."""
    frequency = torch.exp(-math.log(1e4) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    angle = 1000 * t.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1)


class Embedding(nn.Module):
    """What all blocks are told as one vector: the time, and the class or the caption as a whole."""

    def __init__(self, dim: int, *, width: int, num_classes: int = 0, text: int = 0):
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
        # One row more than there are classes: the last one is "no label".
        self.label = nn.Embedding(num_classes + 1, dim) if num_classes else None
        self.text = Caption(text, dim) if text else None

    def forward(self, t: Tensor, condition: Condition) -> Tensor:
        """Times (N,), as the network is told it -> (N, dim)."""
        embedding = self.time(sinusoids(t, self.width))
        if self.label is not None:
            assert condition.label is not None
            embedding = embedding + self.label(condition.label)
        if self.text is not None:
            embedding = embedding + self.text(condition)
        return silu(embedding)


class Caption(nn.Module):
    """The mean over the tokens of a caption, projected; a vector of its own where there is none."""

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
    """What of a batch a network is conditioned on; `kinds` of label and text."""
    label = batch.label if "label" in kinds else None
    text = "text" in kinds
    return Condition(label, batch.text if text else None, batch.text_mask if text else None)
