"""Anomaly scores of a folder of images, by a model that encodes images."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.common.atomic import replacing
from components.common.chunks import CHUNK
from components.common.errors import InputError
from components.common.progress import report
from components.data.card import DatasetCard
from components.data.external import ExternalImages, read, scan_images
from components.data.sources.images import colour_of
from components.families.artifact import load_model
from components.families.catalogue import conditions
from components.records.model import ModelConfig
from components.sampling.reconstruction_error import errors_of
from models.family import DataSpec


@dataclass(frozen=True)
class Scored:
    """The anomaly score of an image of a folder."""

    file: str
    score: float
    flagged: bool


@dataclass(frozen=True)
class Scores:
    """The images of a folder, strangest first, and the error above which they are flagged."""

    images: list[Scored]
    threshold: float
    left_out: list[tuple[str, str]]  # (file, why it cannot be used)
    told: str  # which files are left out, in a sentence; empty if none is


def score_folder(folder: str, model: Path, quantile: float, background: str | None = None) -> Scores:
    """Score the images of a folder.

    Args:
        folder: of this machine, or any fsspec URL.
        model: a folder with an exported model.
        quantile: of the errors of validation images: the threshold.
        background: what transparent images are laid on; None: as those that the model was trained on.

    Raises:
        InputError: the model does not encode images, or is class-conditional; or too many images cannot be
            used.
    """
    generator, card, config = load_model(model)
    if (refusal := why_not(config)) or not config.errors:
        raise InputError(refusal)
    if not 0 < quantile < 1:
        raise InputError(f"--quantile {quantile:g}: between 0 and 1, such as 0.95")
    threshold = float(np.quantile(config.errors.values, quantile))
    colour_of(background or "white")
    data = prepared_as(card, background or config.background)
    with tempfile.TemporaryDirectory() as scratch:
        outside = scan_images(folder, data, Path(scratch))
        errors = np.concatenate([errors_of(generator, images) for images in chunks(outside, data)])
    scored = [
        Scored(file, float(error), bool(error > threshold))
        for file, error in zip(outside.paths, errors, strict=True)
    ]
    ranked = sorted(scored, key=lambda one: -one.score)
    return Scores(ranked, threshold, outside.skipped, outside.told)


def why_not(model: ModelConfig) -> str | None:
    """Why the model that a config.json describes cannot score images, in a sentence; None where it can."""
    family = model.family
    if not model.errors:
        return (
            f"{family} does not score images: that is for models that make vectors of them (autoencoder, vae)"
        )
    if "label" in conditions(family, model.config, DataSpec.from_json(model.card)):
        return f"this {family} is told classes, which images of a folder do not have"
    return None


def prepared_as(card: DataSpec, background: str | None) -> DatasetCard:
    """The card of a data set with the image format that a model was trained on."""
    fields: dict[str, Any] = dict.fromkeys(("title", "source", "licence", "credit"), "")
    fields |= {"resolution": card.resolution, "channels": card.channels, "background": background}
    return DatasetCard(name="of the model", counts={}, **fields)


def chunks(outside: ExternalImages, card: DatasetCard) -> Iterator[np.ndarray]:
    """The images of a folder in chunks."""
    n = len(outside.paths)
    report(0, n, "score")
    for start in range(0, n, CHUNK):
        rows = range(start, min(start + CHUNK, n))
        yield read(outside, rows, card)
        report(rows.stop, n, "score")


def write_csv(scored: Sequence[Scored], output: Path) -> None:
    """Write file, score and flag of each image, atomically; names keep their bytes on disk."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "score", "flagged"))
    writer.writerows((one.file, f"{one.score:.6g}", int(one.flagged)) for one in scored)
    with replacing(output) as temporary:
        temporary.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
