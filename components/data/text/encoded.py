"""Captions as an encoder sees them: a table of the distinct ones, and which of them each image has.

In a folder:

    text/tokens.npy         (U, L, D) float16, memory-mapped when read
    text/mask.npy           (U, L) bool: which tokens there are
    text/rows-<split>.npy   (N,) int64: the caption of each image; if any has several (N, K), filled with -1
    text.json               the encoder, and how many captions were cut; written last
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.common.arrays import open_array
from components.data.text.package import DIM
from components.records.captions import CaptionEncoder

Rows = np.ndarray | Sequence[int]

ENCODER = "text.json"


@dataclass(frozen=True)
class EncodedCaptions:
    """Encoded captions."""

    tokens: np.ndarray  # (U, L, D) float16
    mask: np.ndarray  # (U, L) bool
    cut: int = 0  # how many were longer

    @classmethod
    def nothing(cls, dim: int = DIM) -> EncodedCaptions:
        """No caption, as one that has no tokens."""
        return cls(np.zeros((1, 1, dim), np.float16), np.zeros((1, 1), bool))


@dataclass(frozen=True)
class SplitCaptions:
    """The captions of some images, in their order."""

    table: EncodedCaptions
    rows: np.ndarray  # (N,) which caption of the table: the first of each image
    choices: np.ndarray | None = (
        None  # (N, K) all captions of each image, -1 after the last; None: it has one
    )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray | Sequence[int]) -> SplitCaptions:
        """The captions of some of the images."""
        choices = None if self.choices is None else self.choices[index]
        return replace(self, rows=self.rows[index], choices=choices)

    def drawn(self, rows: Rows, draws: np.ndarray | None) -> SplitCaptions:
        """The captions of some of the images, of each the one that a number in [0, 1) falls on.

        Args:
            rows: (n,) which images.
            draws: (n,) numbers in [0, 1); None: the first of each.
        """
        part = self[rows]
        if part.choices is None or draws is None:
            return part
        number = (draws * (part.choices >= 0).sum(1)).astype(np.int64)
        return replace(part, rows=part.choices[np.arange(len(number)), number])

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Tokens (N, L, D) float32 and their mask (N, L)."""
        tokens = torch.from_numpy(np.asarray(self.table.tokens[self.rows])).float()
        return tokens, torch.from_numpy(np.asarray(self.table.mask[self.rows]))


def write_captions(
    folder: Path, table: EncodedCaptions, rows: Mapping[str, np.ndarray], info: CaptionEncoder
) -> None:
    """Write the captions of all splits into a folder."""
    text = Path(folder) / "text"
    text.mkdir(parents=True)
    np.save(text / "tokens.npy", table.tokens)
    np.save(text / "mask.npy", table.mask)
    for split, each in rows.items():
        np.save(text / f"rows-{split}.npy", each)
    (Path(folder) / ENCODER).write_text(json.dumps(info.to_json(), indent=1))


def open_text(folder: Path, split: str) -> SplitCaptions:
    """The captions of a split, memory-mapped."""
    text = Path(folder) / "text"
    table = EncodedCaptions(open_array(text / "tokens.npy"), np.array(open_array(text / "mask.npy")))
    rows = np.array(open_array(text / f"rows-{split}.npy"))
    return SplitCaptions(table, rows) if rows.ndim == 1 else SplitCaptions(table, rows[:, 0], rows)
