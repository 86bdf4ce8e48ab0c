"""Anomaly scores of a folder of images, by a model that encodes images.

A model blurs noise to grey, so its error is the variance of the noise, which may be below that of textured
pictures; and an image of one colour comes back well. So besides the error an image may be rougher, or of less
contrast, than validation images are: input complexity on both sides, Serra et al. 2020,
https://arxiv.org/abs/1909.11480. Each is divided by its quantile of validation images; the largest counts.

The threshold is the k-th smallest of the n scores of validation images, k = ceil((n + 1) q), as in conformal
prediction (Vovk et al. 2005), each with the quantiles of the others: about 1 - q of images like them are
above it, however many measures count.
"""

from __future__ import annotations

import csv
import io
import math
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
from components.records.model import ModelConfig, ReconstructionErrors
from components.sampling.reconstruction_error import contrast, errors_of, roughness
from models.data_spec import DataSpec

ERROR, ROUGH, FLAT = "reconstruction error", "roughness", "lack of contrast"  # why an image is flagged
FAINT = 1e-4  # the variance of pixels in [0, 1] that counts as none: 2.5 of 255 levels
LEAST = 1e-12


@dataclass(frozen=True)
class Scored:
    """The anomaly score of an image of a folder."""

    file: str
    score: float  # above 1: flagged
    flagged: bool
    because: str  # what is most unusual about it
    error: float  # of its reconstruction


@dataclass(frozen=True)
class Scores:
    """The images of a folder, strangest first."""

    images: list[Scored]
    validation_images: int  # that scores are compared with
    error_alone: bool  # whether the model, of an earlier version, knows the errors of these alone
    left_out: list[tuple[str, str]]  # (file, why it cannot be used)
    notice: str  # which files are left out, in a sentence; empty if none is


@dataclass(frozen=True)
class Rule:
    """The rule for images unlike validation images: a limit of each measure, a threshold of the largest."""

    limits: dict[str, float]
    threshold: float

    @classmethod
    def of(cls, errors: ReconstructionErrors, quantile: float) -> Rule:
        """Return the rule that flags about a share of 1 - quantile of images like those with `errors`."""
        measures = {ERROR: np.array(errors.values)}
        if errors.roughness and errors.contrast:
            measures |= {ROUGH: np.array(errors.roughness), FLAT: flatness(np.array(errors.contrast))}
        limits = {name: max(float(np.quantile(each, quantile)), LEAST) for name, each in measures.items()}
        ratios = [each / quantiles_of_others(each, quantile) for each in measures.values()]
        largest = np.sort(np.max(ratios, axis=0))
        rank = min(math.ceil((len(largest) + 1) * quantile), len(largest))
        return cls(limits, max(float(largest[rank - 1]), LEAST))

    def scored(self, files: Sequence[str], errors: np.ndarray, images: np.ndarray) -> list[Scored]:
        """Return the scores of images, uint8 (N, C, H, W), with the errors of their reconstructions."""
        measures = {ERROR: errors, ROUGH: roughness(images), FLAT: flatness(contrast(images))}
        names = list(self.limits)
        ratios = np.array([measures[name] / self.limits[name] for name in names]) / self.threshold
        largest, which = ratios.max(0), ratios.argmax(0)
        return [
            Scored(file, float(score), bool(score > 1), names[most], float(error))
            for file, score, most, error in zip(files, largest, which, errors, strict=True)
        ]


def quantiles_of_others(values: np.ndarray, quantile: float) -> np.ndarray:
    """Return for each value the quantile of the others; of one value, itself."""
    if len(values) == 1:
        return np.maximum(values, LEAST)
    ordered, ranks, last = np.sort(values), np.argsort(np.argsort(values)), len(values) - 2
    below = int(quantile * last)
    above = min(below + 1, last)
    lower, upper = (ordered[position + (ranks <= position)] for position in (below, above))
    return np.maximum(lower + (quantile * last - below) * (upper - lower), LEAST)


def flatness(contrast: np.ndarray) -> np.ndarray:
    """Return how far images are from having contrast; large for those of one colour."""
    return 1 / (contrast + FAINT)


def score_folder(folder: str, model: Path, quantile: float, background: str | None = None) -> Scores:
    """Score the images of a folder.

    Args:
        folder: of this machine, or any fsspec URL.
        model: a folder with an exported model.
        quantile: about the share of images like those of validation that are not flagged.
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
    rule = Rule.of(config.errors, quantile)
    colour_of(background or "white")
    data = prepared_as(card, background or config.background)
    with tempfile.TemporaryDirectory() as scratch:
        outside = scan_images(folder, data, Path(scratch))
        scored = list[Scored]()
        for images in chunks(outside, data):
            files = outside.paths[len(scored) : len(scored) + len(images)]
            scored += rule.scored(files, errors_of(generator, images), images)
    ranked = sorted(scored, key=lambda one: -one.score)
    alone = len(rule.limits) == 1
    return Scores(ranked, config.errors.n, alone, outside.skipped, outside.notice)


def why_not(model: ModelConfig) -> str | None:
    """Return why the model of a config.json cannot score images, in a sentence; None if it can."""
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
    writer.writerow(("file", "score", "flagged", "because", "error"))
    writer.writerows(
        (one.file, f"{one.score:.6g}", int(one.flagged), one.because, f"{one.error:.6g}") for one in scored
    )
    with replacing(output) as temporary:
        temporary.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
