"""Jobs that evaluate images made elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

from components.common.threads import using_threads
from components.data.card import DatasetCard
from components.data.external import ExternalImages, read
from components.evaluation import evaluate
from components.evaluation.jobs import open_reference, read_samples
from components.evaluation.parts import write_part
from components.evaluation.requests import EvaluationPaths
from components.extractors.load import load_extractor
from components.records.evaluation import Metrics


def extract_external_features(places: EvaluationPaths, outside: ExternalImages, start: int, n: int) -> None:
    """Leave the features, and the labels where there are any, of images [start, start + n) of a folder."""
    store, rows = places.open(), range(start, start + n)
    with using_threads(places.threads):
        see = load_extractor(store.local_copy(places.extractor))
        images = read(outside, rows, DatasetCard.read(store.local_copy(places.data)))
        arrays = {"features": see(images)}
        if outside.labels is not None:
            arrays |= {"labels": outside.labels[list(rows)], "images": images}
        write_part(store, places.parts, start, arrays)


def evaluate_external(places: EvaluationPaths, split: str, preparation: str, seeds: str) -> Metrics:
    """The numbers of a folder's images."""
    store = places.open()
    with using_threads(places.threads), tempfile.TemporaryDirectory() as name:
        judged = read_samples(store, places.parts, Path(name), seeds=seeds, preparation=preparation)
        return evaluate.evaluate_samples(judged, open_reference(store, places), split)
