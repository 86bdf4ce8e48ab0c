"""What a worker is sent to do with captions in a smoke run: encode a few, which all images share.

A module of its own: a change of `encode_captions` would encode the captions of all data sets again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from components.common.threads import using_threads
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.text import encoder
from components.data.text.encode_captions import lists_of, rows_of
from components.data.text.encoded import write_captions
from components.records.captions import CaptionEncoder
from components.store import Store


def encode(store: Store, data: str, out: str, images: int) -> CaptionEncoder:
    """Do as `encode_captions.encode`, with the captions of the first images of each split, in turn."""
    with using_threads(1), tempfile.TemporaryDirectory() as folder:
        prepared = store.local_copy(data)
        place, rows = dict[str, int](), dict[str, np.ndarray]()
        for split, count in DatasetCard.read(prepared).counts.items():
            few = lists_of(open_split(prepared, split))[:images]
            for text in (text for texts in few for text in texts):
                place.setdefault(text, len(place))
            rows[split] = rows_of([few[i % len(few)] for i in range(count)], place)
        table = encoder.encode(list(place))
        counts = {"captions": len(place), "tokens": table.tokens.shape[1], "cut": table.cut}
        info = CaptionEncoder(**dict(encoder.identity()), **counts)
        write_captions(Path(folder), table, rows, info)
        store.upload(folder, out)
    return info
