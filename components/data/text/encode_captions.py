"""What a worker is sent to do with captions: encode each distinct one of a data set, once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from components.common.threads import using_threads
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.text import encoder
from components.data.text.encoded import write_captions
from components.records.captions import CaptionEncoder
from components.store import Store


def encode(store: Store, data: str, out: str) -> CaptionEncoder:
    """Leave the encoded captions of all splits in the store's folder `out`; returns what made them."""
    with using_threads(1), tempfile.TemporaryDirectory() as folder:
        prepared = store.local_copy(data)
        captions = {s: open_split(prepared, s).captions or [] for s in DatasetCard.read(prepared).counts}
        distinct = sorted({caption for each in captions.values() for caption in each})
        table = encoder.encode(distinct)
        place = {caption: row for row, caption in enumerate(distinct)}
        rows = {split: np.array([place[c] for c in each], np.int64) for split, each in captions.items()}
        counts = {"captions": len(distinct), "tokens": table.tokens.shape[1], "cut": table.cut}
        info = CaptionEncoder(**dict(encoder.identity()), **counts)
        write_captions(Path(folder), table, rows, info)
        store.upload(folder, out)
    return info
