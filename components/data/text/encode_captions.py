"""Job that encodes each distinct caption of a data set once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.common.threads import using_threads
from components.data.card import DatasetCard
from components.data.dataset import Split, open_split
from components.data.text import encoder, package
from components.data.text.encoded import write_captions
from components.records.captions import CaptionEncoder
from components.store import Store


def encode(store: Store, data: str, out: str, images: int | None = None) -> CaptionEncoder:
    """Leave the encoded captions of all splits in the store's folder `out`; returns what made them.

    With `images`, all images of a split share the captions of its first ones, in turn.
    """
    with using_threads(1), tempfile.TemporaryDirectory() as folder:
        prepared = store.local_copy(data)
        captions = {s: lists_of(open_split(prepared, s)) for s in DatasetCard.read(prepared).counts}
        if images:
            captions = {s: [each[i % images] for i in range(len(each))] for s, each in captions.items()}
        distinct = sorted({text for each in captions.values() for texts in each for text in texts})
        table = encoder.encode(distinct)
        place = {caption: row for row, caption in enumerate(distinct)}
        rows = {split: rows_of(each, place) for split, each in captions.items()}
        counts = {"captions": len(distinct), "tokens": table.tokens.shape[1], "cut": table.cut}
        info = CaptionEncoder(**dict(package.identity()), **counts)
        write_captions(Path(folder), table, rows, info)
        store.upload(folder, out)
    return info


def lists_of(split: Split) -> list[list[str]]:
    """Return all captions of each image."""
    return split.all_captions or [[caption] for caption in split.captions or []]


def rows_of(captions: Sequence[Sequence[str]], place: Mapping[str, int]) -> np.ndarray:
    """Return the rows of captions in a table: (N,), or (N, K) with -1 after the last of an image."""
    longest = max(map(len, captions), default=1)
    rows = np.full((len(captions), longest), -1, np.int64)
    for row, texts in zip(rows, captions, strict=True):
        row[: len(texts)] = [place[text] for text in texts]
    return rows[:, 0] if longest == 1 else rows
