"""Jobs that evaluate external images."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from components.common.threads import using_threads
from components.data.card import DatasetCard
from components.data.external import ExternalImages, read
from components.evaluation import evaluate
from components.evaluation.jobs import open_reference, read_samples
from components.evaluation.parts import write_part
from components.evaluation.requests import EvaluationPaths
from components.extractors.load import load_extractor
from components.metrics.manifold import nearest
from components.records.evaluation import Metrics, Part


def extract_external_features(places: EvaluationPaths, external: ExternalImages, start: int) -> None:
    """Store the features and, if there are any, the labels of a part of a folder, from its image `start`."""
    store, rows = places.store, range(len(external.paths))
    with using_threads(places.threads):
        extract = load_extractor(store.local_copy(places.extractor), places.expected)
        images = read(external, rows, DatasetCard.read(store.local_copy(places.data)))
        arrays = {"features": extract(images)}
        if external.labels is not None:
            arrays |= {"labels": external.labels, "images": images}
        write_part(store, places.parts, start, arrays, Part(n=len(rows)))


def evaluate_external(
    places: EvaluationPaths, split: str, preparation: str, seeds: str
) -> tuple[Metrics, list[int], float | None]:
    """Return the metrics of a folder's images, the positions of those that count as memorised, and accuracy.

    The accuracy is the share of real images whose class the extractor recognises; None if it has no classes.
    """
    store = places.store
    with using_threads(places.threads), tempfile.TemporaryDirectory() as name:
        samples = read_samples(store, places.parts, Path(name), seeds=seeds, preparation=preparation)
        ref = open_reference(store, places)
        distances = nearest(np.asarray(samples.features), ref.splits["train"].features)[1]
        memorised: list[int] = np.flatnonzero(distances <= ref.closest).tolist()
        metrics = evaluate.evaluate_samples(samples, ref, split, distances=distances)
        return metrics, memorised, ref.accuracy(split)
