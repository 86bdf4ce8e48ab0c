"""What a worker is sent to do for a study: draw with other settings of sampling, judge, show the way.

Every variant draws the same seeds under the same conditions with the same weights, and is judged by the same
extractor. A variant that is done is not done again when an interrupted study goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from components.common import seeds
from components.common.chunks import CHUNK
from components.common.errors import InputError
from components.common.threads import using_threads
from components.common.validation import explain
from components.data.dataset import Split, to_float, to_uint8
from components.evaluation import evaluate, reference
from components.evaluation.jobs import open_reference, pair_values
from components.evaluation.reference import Judged, Reference
from components.evaluation.requests import Places, Variant
from components.evaluation.samples import EvaluationInputs, Samples, open_model, sample_for_evaluation
from components.families.catalogue import task_of
from components.sampling import generate, sheets
from components.sampling.sheets import SHEET_COLUMNS
from models.family import Batch, Card, Generator, Noise

SPLIT = "test"
FRAMES = 10  # columns of a picture of the way
SEEDS, REAL_IMAGES = 6, 4  # rows: from noise to samples, from real images to noise


def changed(generator: Generator, change: Mapping[str, Any], family: str) -> Generator:
    """The generator with some settings of sampling changed.

    Raises:
        InputError: the family has no such setting, or does not accept the value.
    """
    config: Any = generator.config
    try:
        settings: Any = type(config)(**(config.model_dump() | dict(change)))
    except ValidationError as error:
        raise InputError(explain(error, f"study of families.{family}", type(config))) from None
    generator.config = settings
    return generator


def floors(places: Places, n: int, family: str) -> dict[str, float]:
    """What `n` real images score, for all variants; of pairs it is known."""
    if "set" not in task_of(family).metrics:
        return {}
    with using_threads(places.threads):
        return reference.floors(_reference(places), SPLIT, n, train=False)


def vary(job: Variant) -> dict[str, Any]:
    """Draw and judge one variant; leave a row of its first images.

    Returns its metrics, the seconds that an image takes to draw, and the row's file.
    """
    places, part = job.places, f"{job.places.parts}/{job.name}.json"
    store = places.open()
    if store.exists(part):
        done: dict[str, Any] = store.read_json(part)
        return done
    with using_threads(places.threads):
        generator, inputs = open_model(store, job.model, places.data, places.captions, SPLIT, job.device)
        changed(generator, job.change, inputs.family)
        batch = min(CHUNK, job.n)
        samples = sample_for_evaluation(generator, inputs, job.n, job.seed, batch=batch, device=job.device)
        metrics = _judged(job, inputs, samples)
    sheet = sheets.grid(samples.images[:SHEET_COLUMNS])
    store.write_bytes(f"{job.out}/{job.name}.webp", sheets.encode_webp(sheet))
    drawn = -(-job.n // batch) * batch  # the last chunk is drawn whole
    told = {"metrics": metrics, "seconds_per_image": samples.seconds / drawn, "sheet": f"{job.name}.webp"}
    store.write_json(part, told)
    return told


def _judged(job: Variant, inputs: EvaluationInputs, samples: Samples) -> dict[str, Any]:
    """The numbers of a variant's images."""
    ref, text = _reference(job.places, {str(job.n): job.floors}), inputs.split.text
    return evaluate.task_metrics(
        inputs.task,
        Judged(ref.extractor(samples.images), samples.labels),
        ref,
        SPLIT,
        pairs=None if samples.targets is None else pair_values(samples.targets, samples.images, None),
        captions=samples.captions,
        caption_names=None if text is None else text.rows,
    )


def _reference(places: Places, known: Mapping[str, Any] | None = None) -> Reference:
    """The reference, with the floors that are `known` by the number of images."""
    ref = open_reference(places.open(), places)
    of_split = ref.info.get("floors", {}).get(SPLIT, {}) | (known or {})
    return replace(ref, info=ref.info | {"floors": {SPLIT: of_split}})


# The way


class Watched(Generator):
    """A generator whose samples leave the images on their way."""

    def __init__(self, generator: Generator, frames: int):
        super().__init__()
        self.generator, self.count = generator, frames
        self.frames: Tensor = torch.empty(0)  # (frames, N, C, H, W)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The last of the images on the way."""
        self.frames = self.generator.trajectory(batch, noise, self.count)  # type: ignore[operator]
        return self.frames[-1]


def show(places: Places, model: str, seed: int, out: str, device: str) -> dict[str, dict[str, Any]]:
    """Leave pictures of the way from noise to samples and from real images to noise, where the family can."""
    store = places.open()
    with using_threads(places.threads):
        generator, inputs = open_model(store, model, places.data, places.captions, SPLIT, device)
        ways = {}
        if hasattr(generator, "trajectory"):
            ways["reverse"] = reverse(generator, inputs.card, seed, device, inputs.conditions)
        if hasattr(generator, "noised"):
            ways["forward"] = forward(generator, inputs.split, seed, device)
    for way, frames in ways.items():
        store.write_bytes(f"{out}/{way}.webp", sheets.encode_webp(rows(frames)))
    return {
        way: {"path": f"{way}.webp", "rows": frames.shape[1], "columns": len(frames)}
        for way, frames in ways.items()
    }


def reverse(
    generator: Generator, card: Card, seed: int, device: str, conditions: Mapping[str, Any]
) -> np.ndarray:
    """The way of the first samples of a seed, uint8 (frames, N, C, H, W)."""
    watched = Watched(generator, FRAMES)
    generate.draw(watched, card, n=SEEDS, batch=SEEDS, seed=seed, device=device, **conditions)
    return to_uint8(watched.frames).cpu().numpy()


def forward(generator: Generator, split: Split, seed: int, device: str) -> np.ndarray:
    """What the forward process makes of the first real images of a split, uint8 (frames, N, C, H, W)."""
    images = to_float(split.images[np.arange(min(REAL_IMAGES, len(split)))]).to(device)
    noise = Noise([seeds.seed_of(seed, i) for i in range(len(images))], device)
    with torch.no_grad():
        frames = generator.noised(images, noise, FRAMES)  # type: ignore[operator]
    return to_uint8(frames).cpu().numpy()


def rows(frames: np.ndarray) -> np.ndarray:
    """Frames (frames, N, C, H, W) as a picture: a line an image, a column a frame."""
    return sheets.grid(frames.swapaxes(0, 1).reshape(-1, *frames.shape[2:]), columns=len(frames))
