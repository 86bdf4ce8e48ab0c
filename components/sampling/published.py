"""The published samples of an exported model, which its folder alone suffices to draw again.

samples.json             number, seed, threads and batch
conditions.safetensors   labels, encoded captions, images or sources of the samples, if they have any
samples.png              all samples, row by row
samples/<i>.png          the first of them, a file each
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from components.cluster.resources import processor
from components.common.errors import InputError, RunError
from components.common.hashing import sha256
from components.common.threads import using_threads
from components.data.dataset import Split
from components.data.text.encoded import EncodedCaptions, SplitCaptions
from components.families.artifact import load_model
from components.families.catalogue import conditions
from components.records.gate import Machine, Reproduction
from components.records.model import ModelConfig, PublishedSamples
from components.sampling import generate, png, sheets
from components.sampling.conditions import target_images
from components.store import Store
from models.data_spec import DataSpec

SPLIT = "validation"  # of the conditions
RECORD, CONDITIONS, SHEET, PICTURES = "samples.json", "conditions.safetensors", "samples.png", "samples"
ALONE = sheets.SHEET_COLUMNS  # samples that have a file each
PIXELS = ("images", "sources")  # conditions that are images


def fixed_conditions(model: ModelConfig, split: Split, sample_images: int) -> tuple[np.ndarray, Any]:
    """Return the rows of a split that the published samples belong to, and the arguments of `generate`.

    They are those of a training's grids.
    """
    rows, card = sheets.grid_rows(split, sample_images), DataSpec.from_json(model.card)
    fixed: dict[str, Any] = target_images(model.family, split, rows)
    if split.labels is not None and "label" in conditions(model.family, model.config, card):
        fixed["labels"] = split.labels[rows]
    if split.text is not None:
        fixed["text"] = split.text[rows]
    return rows, fixed


def write(
    attempt: Store,
    model: ModelConfig,
    record: PublishedSamples,
    fixed: Mapping[str, Any],
    images: np.ndarray,
    weights: str,
) -> list[str]:
    """Write the published samples and what they are drawn from; return the names of single pictures.

    Args:
        attempt: the folder of the exported model.
        model: its config.json.
        record: number, seed, threads and batch.
        fixed: the conditions, as arguments of `generate`.
        images: the samples, uint8 (N, C, H, W).
        weights: the sha256 of its weights.
    """
    attempt.write_json(RECORD, record.to_json())
    if fixed:
        attempt.write_bytes(CONDITIONS, save(arrays_of(fixed)))
    made = [_made(i, model, record, fixed, weights) for i in range(record.n)]
    attempt.write_bytes(SHEET, png.encoded(sheets.grid(images), png.of_sheet(made)))
    names = [picture_name(i) for i in range(min(ALONE, record.n))]
    for name, image, how in zip(names, images, made, strict=False):
        attempt.write_bytes(name, png.encoded(image.transpose(1, 2, 0), how))
    return names


def picture_name(i: int) -> str:
    """Return the name of the file of sample `i` in a model's folder."""
    return f"{PICTURES}/{i:02}.png"


def _made(
    i: int, model: ModelConfig, record: PublishedSamples, fixed: Mapping[str, Any], weights: str
) -> png.Made:
    """Return how published sample `i` was made."""
    hashes = {
        kind.removesuffix("s"): sha256(np.ascontiguousarray(fixed[kind][i]).tobytes())
        for kind in PIXELS
        if kind in fixed
    }
    made = png.made_by(model, weights, record.seed)
    labels, captions = fixed.get("labels"), record.captions or ()
    return png.of_image(made, i, labels=labels, names=model.labels, prompts=captions, **hashes)


def arrays_of(fixed: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return conditions as arrays by name, each with a row for every sample."""
    arrays = {name: np.ascontiguousarray(value) for name, value in fixed.items() if name != "text"}
    if "text" in fixed:
        text: SplitCaptions = fixed["text"]
        arrays["tokens"], arrays["mask"] = (
            np.ascontiguousarray(table[text.rows]) for table in (text.table.tokens, text.table.mask)
        )
    return arrays


def conditions_in(folder: Path, n: int) -> dict[str, Any]:
    """Return the conditions in a model's folder, as arguments of `generate`; raise InputError if unusable."""
    path = folder / CONDITIONS
    if not path.exists():
        return {}
    try:
        arrays = load(path.read_bytes())
    except SafetensorError as error:
        raise InputError(f"{CONDITIONS} cannot be read ({error})") from None
    fixed: dict[str, Any] = {name: arrays[name] for name in ("labels", *PIXELS) if name in arrays}
    if "tokens" in arrays and "mask" in arrays:
        fixed["text"] = SplitCaptions(EncodedCaptions(arrays["tokens"], arrays["mask"]), np.arange(n))
    return fixed


def read_record(folder: Path) -> PublishedSamples:
    """Return samples.json of a model's folder; raise InputError if there is none, or it is damaged."""
    try:
        return PublishedSamples.model_validate(json.loads((folder / RECORD).read_bytes()))
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no {RECORD}, so its samples cannot be drawn again; export the model with this "
            "version of Atelier"
        ) from None
    except (ValueError, ValidationError):
        raise InputError(f"{RECORD} cannot be read") from None


def draw(folder: Path, device: str = "cpu") -> np.ndarray:
    """Draw the published samples of the model in a folder again, uint8 (N, C, H, W).

    Raises:
        InputError: the folder is incomplete or damaged.
        RunError: the samples are not finite.
    """
    record = read_record(folder)
    generator, card, _ = load_model(folder)
    fixed = conditions_in(folder, record.n)
    fixed |= {"n": record.n, "seed": record.seed, "batch": record.batch}
    with using_threads(record.threads):
        return generate.draw(generator.to(device), card, device=device, **fixed)


def reproduce(folder: Path, device: str = "cpu") -> Reproduction:
    """Return the difference between the published samples in a folder and those that its model draws now."""
    machine = Machine(processor=processor(device), torch=str(torch.__version__))
    try:
        images = draw(folder, device)
        published = samples_in(folder, images)
    except (InputError, RunError, KeyError, TypeError, ValueError) as error:
        return Reproduction(error=str(error), machine=machine)
    difference = np.abs(published.astype(np.int16) - images.astype(np.int16)).mean()
    return Reproduction(images=len(images), difference=float(difference), machine=machine)


def samples_in(folder: Path, like: np.ndarray) -> np.ndarray:
    """Return the published samples in a folder, uint8 (N, C, H, W).

    Raises:
        InputError: they do not have the number and shape of `like`, or a single picture is another sample.
    """
    sheet, expected = png.decoded(folder / SHEET), sheets.grid(like).shape
    if sheet.shape != expected:
        raise InputError(f"{SHEET} has the shape {sheet.shape}, and the samples drawn fill {expected}")
    images = sheets.ungrid(sheet, like.shape[-1], len(like))
    for i in range(min(ALONE, len(images))):
        if not np.array_equal(png.decoded(folder / picture_name(i)), images[i].transpose(1, 2, 0)):
            raise InputError(f"{picture_name(i)} is not sample {i} of {SHEET}")
    return images
