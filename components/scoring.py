"""A folder of images scored by a model that encodes images, the strange ones flagged."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.data.card import DataCard
from components.data.outside import Outside, look, read
from components.errors import InputError
from components.jobs import load_model
from components.local_files import replacing
from components.sampling import CHUNK
from components.strangeness import errors_of
from models.family import Card


@dataclass(frozen=True)
class Scored:
    """An image of a folder."""

    file: str
    score: float
    flagged: bool


def score_folder(folder: str, model: Path, quantile: float) -> tuple[list[Scored], float]:
    """The images of a folder, strangest first, and the error above which they are flagged.

    Args:
        folder: of this machine, or any fsspec URL.
        model: a folder with an exported model.
        quantile: of the errors of validation images: the threshold.

    Raises:
        InputError: the model does not encode images, or is told classes; or an image that cannot be used.
    """
    generator, card, described = load_model(model)
    if not described.get("errors"):
        raise InputError(f"{described['family']} does not score images: it is for models that encode them")
    if described["config"].get("conditional"):
        raise InputError(f"this {described['family']} is told classes, which images of a folder do not have")
    if not 0 < quantile < 1:
        raise InputError(f"--quantile {quantile:g}: between 0 and 1, such as 0.95")
    threshold = float(np.quantile(described["errors"]["values"], quantile))
    data = prepared_as(card)
    with tempfile.TemporaryDirectory() as scratch:
        outside = look(folder, data, Path(scratch))
        errors = np.concatenate([errors_of(generator, images) for images in chunks(outside, data)])
    scored = [
        Scored(file, float(error), bool(error > threshold))
        for file, error in zip(outside.paths, errors, strict=True)
    ]
    return sorted(scored, key=lambda one: -one.score), threshold


def prepared_as(card: Card) -> DataCard:
    """A data set like the one that a model was trained on, of which it knows no more than the shape."""
    nothing: dict[str, Any] = dict.fromkeys(("title", "source", "licence", "credit"), "")
    return DataCard(
        name="of the model", resolution=card.resolution, channels=card.channels, counts={}, **nothing
    )


def chunks(outside: Outside, card: DataCard) -> Iterator[np.ndarray]:
    """The images of a folder, a part at a time."""
    n = len(outside.paths)
    return (read(outside, range(start, min(start + CHUNK, n)), card) for start in range(0, n, CHUNK))


def write_csv(scored: Sequence[Scored], output: Path) -> None:
    """File, score and whether it is flagged, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "score", "flagged"))
    writer.writerows((one.file, f"{one.score:.6g}", int(one.flagged)) for one in scored)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        temporary.write_text(text.getvalue())
