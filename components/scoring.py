"""How strange an image is to a model that encodes images: the error with which it comes back.

The threshold is a quantile of the errors of validation images, which the model has not learnt from. They are
kept with the model, so that a folder can be scored without its training data.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.data.card import DataCard
from components.data.dataset import Split, to_float, to_uint8
from components.data.outside import Outside, look, read
from components.errors import InputError
from components.local_files import replacing
from components.metrics import squared_errors
from components.sampling import CHUNK
from models.family import Batch, Card, Generator

KEPT = 1000  # errors that are kept with a model, at most
MEASURE = "mean square error of pixels in [0, 1]"


@dataclass(frozen=True)
class Scored:
    """An image of a folder."""

    file: str
    score: float
    flagged: bool


def known_errors(generator: Generator, card: Card, validation: Split) -> dict[str, Any]:
    """The errors of validation images, in rising order, as they are kept with a model."""
    rows = np.arange(min(len(validation), KEPT))
    labels = None if validation.labels is None else np.asarray(validation.labels[rows])
    errors = np.sort(errors_of(generator, validation.images[rows], labels))
    values = [float(f"{error:.6g}") for error in errors]
    return {"measure": MEASURE, "split": "validation", "n": len(rows), "values": values}


@torch.no_grad()
def errors_of(generator: Any, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """The error of each of uint8 images (N, C, H, W), (N,); `labels` where the model is told classes."""
    training, found = generator.training, []
    generator.eval()
    device = next(generator.parameters()).device
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        label = None if labels is None else torch.from_numpy(labels[start : start + CHUNK])
        batch = Batch(len(chunk), to_float(chunk), label).to(device)
        back = to_uint8(generator.picture(generator.code(batch), batch)).cpu().numpy()
        found.append(squared_errors(chunk, back))
    generator.train(training)
    return np.concatenate(found)


def score_folder(folder: str, model: Path, quantile: float, scratch: Path) -> tuple[list[Scored], float]:
    """The images of a folder, strangest first, and the error above which they are flagged.

    Args:
        folder: of this machine, or any fsspec URL.
        model: a folder with an exported model.
        quantile: of the errors of validation images: the threshold.
        scratch: where a remote folder is copied to.

    Raises:
        InputError: the model does not encode images, or is told classes; or an image that cannot be used.
    """
    from components.jobs import load_model  # which keeps errors with models, and so needs this module

    generator, card, described = load_model(model)
    if not described.get("errors"):
        raise InputError(f"{described['family']} does not score images: it is for models that encode them")
    if described["config"].get("conditional"):
        raise InputError(f"this {described['family']} is told classes, which images of a folder do not have")
    if not 0 < quantile < 1:
        raise InputError(f"--quantile {quantile:g}: between 0 and 1, such as 0.95")
    threshold = float(np.quantile(described["errors"]["values"], quantile))
    data = prepared_as(card)
    outside = look(folder, data, scratch)
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


def chunks(outside: Outside, card: DataCard) -> Sequence[np.ndarray]:
    """The images of a folder, a part at a time."""
    n = len(outside.paths)
    return [read(outside, range(start, min(start + CHUNK, n)), card) for start in range(0, n, CHUNK)]


def write_csv(scored: Sequence[Scored], output: Path) -> None:
    """File, score and whether it is flagged, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "score", "flagged"))
    writer.writerows((one.file, f"{one.score:.6g}", int(one.flagged)) for one in scored)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        temporary.write_text(text.getvalue())
