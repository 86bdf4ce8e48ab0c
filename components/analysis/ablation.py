"""Jobs of an ablation: sample with changed settings and evaluate, and show the trajectories of sampling.

Every variant samples the same seeds under the same conditions with the same weights, and is evaluated with
the same extractor. An interrupted ablation continues with the variants that are not finished.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from components.common import seeds
from components.common.chunks import equal_size
from components.common.errors import InputError
from components.common.memory import LastValue
from components.common.threads import using_threads
from components.common.validation import explain
from components.data.dataset import Split, to_float, to_uint8
from components.evaluation import evaluate
from components.evaluation.equivariance import MotionGenerator, can_move
from components.evaluation.jobs import open_reference, pair_values
from components.evaluation.reference import EvaluationSample, Reference
from components.evaluation.requests import EvaluationPaths, Variant
from components.evaluation.samples import EvaluationInputs, Samples, open_model, sample_for_evaluation
from components.families.catalogue import task_of
from components.records.ablation import VariantResult
from components.records.analysis import Sheet
from components.records.evaluation import Metrics
from components.sampling import generate, sheets
from components.sampling.sheets import SHEET_COLUMNS
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

SPLIT = "test"
FRAMES = 10  # columns of a picture of trajectories
SEEDS, REAL_IMAGES = 6, 4  # its rows: from noise to samples, from real images to noise

OPENED = LastValue[tuple[Generator, EvaluationInputs]]()  # which the variants of a model share


def changed(generator: Generator, change: Mapping[str, Any], family: str) -> Generator:
    """Change some settings of sampling of a generator, and return it.

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


def real_baselines(places: EvaluationPaths, n: int, family: str) -> dict[str, float]:
    """The metrics of `n` real images, the baseline of all variants; empty for tasks with a target."""
    if "set" not in task_of(family).metrics:
        return {}
    with using_threads(places.threads):
        return dict(_reference(places).real_baselines(SPLIT, n, train=False))


def evaluate_variant(job: Variant) -> VariantResult:
    """Sample and evaluate one variant, and save a row of its first images."""
    places, part = job.places, f"{job.places.parts}/{job.name}.json"
    store = places.store
    if store.exists(part) and (finished := VariantResult.read(store.read_json(part))):
        return finished
    with using_threads(places.threads):
        arguments = (job.model, places.data, places.captions, SPLIT, job.device)
        opened, inputs = OPENED.get(repr((store, *arguments)), lambda: open_model(store, *arguments))
        generator = changed(copy.copy(opened), job.change, inputs.family)
        batch = equal_size(job.n)
        samples = sample_for_evaluation(generator, inputs, job.n, job.seed, batch=batch, device=job.device)
        metrics = _metrics(job, inputs, samples)
    sheet, sampled = f"{job.name}.webp", -(-job.n // batch) * batch  # the last chunk is sampled whole
    store.write_bytes(f"{job.out}/{sheet}", sheets.encode_webp(sheets.grid(samples.images[:SHEET_COLUMNS])))
    result = VariantResult(metrics=metrics, seconds_per_image=samples.seconds / sampled, sheet=sheet)
    store.write_json(part, result.to_json())
    return result


def _metrics(job: Variant, inputs: EvaluationInputs, samples: Samples) -> Metrics:
    """Return the metrics of a variant's images."""
    ref, text = _reference(job.places, {str(job.n): job.real_baselines}), inputs.split.text
    return evaluate.task_metrics(
        inputs.task,
        EvaluationSample(ref.extractor(samples.images), samples.labels),
        ref,
        SPLIT,
        pairs=None if samples.targets is None else pair_values(samples.targets, samples.images, None),
        captions=samples.captions,
        caption_names=None if text is None else text.rows,
    )


def _reference(places: EvaluationPaths, baselines: Mapping[str, Any] | None = None) -> Reference:
    """The reference, with more baselines, which are by the number of images."""
    ref = open_reference(places.store, places)
    of_split = {**ref.info.real_baselines.get(SPLIT, {}), **(baselines or {})}
    return replace(ref, info=ref.info.model_copy(update={"real_baselines": {SPLIT: of_split}}))


# Trajectories


class TrajectoryRecorder(Generator):
    """A generator that records the images on the way to its samples."""

    def __init__(self, generator: Generator, frames: int):
        super().__init__()
        self.generator, self.count = generator, frames
        self.frames: Tensor = torch.empty(0)  # (frames, N, C, H, W)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The last images of the trajectory."""
        self.frames = self.generator.trajectory(batch, noise, self.count)  # type: ignore[operator]
        return self.frames[-1]


def save_trajectories(
    places: EvaluationPaths, model: str, seed: int, out: str, device: str
) -> dict[str, Sheet]:
    """Save pictures from noise to samples, and from real images to noise, as far as the family has them."""
    store = places.store
    with using_threads(places.threads):
        generator, inputs = open_model(store, model, places.data, places.captions, SPLIT, device)
        trajectories = {}
        if hasattr(generator, "trajectory"):
            trajectories["reverse"] = reverse(generator, inputs.card, seed, device, inputs.conditions)
        if hasattr(generator, "noised"):
            trajectories["forward"] = forward(generator, inputs.split, seed, device)
        if can_move(generator):
            trajectories |= moved(generator, inputs.card, seed, device, inputs.conditions)
    for name, frames in trajectories.items():
        store.write_bytes(f"{out}/{name}.webp", sheets.encode_webp(rows(frames)))
    return {
        name: Sheet(path=f"{name}.webp", rows=frames.shape[1], columns=len(frames))
        for name, frames in trajectories.items()
    }


def reverse(
    generator: Generator, card: DataSpec, seed: int, device: str, conditions: Mapping[str, Any]
) -> np.ndarray:
    """The trajectories of the first samples of a seed, uint8 (frames, N, C, H, W)."""
    recorder = TrajectoryRecorder(generator, FRAMES)
    generate.draw(recorder, card, n=SEEDS, batch=SEEDS, seed=seed, device=device, **conditions)
    return to_uint8(recorder.frames).cpu().numpy()


def moved(
    generator: Generator, card: DataSpec, seed: int, device: str, conditions: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The first samples of a seed, their input shifted or rotated, uint8 (frames, N, C, H, W)."""
    steps = np.linspace(-1, 1, FRAMES)
    motions = {
        "shifted": [(0.0, float(step) / 4) for step in steps],
        "rotated": [(float(step) * np.pi, 0.0) for step in steps],
    }
    strips = {}
    for name, path in motions.items():
        mover = MotionGenerator(generator, path)
        generate.draw(mover, card, n=SEEDS, batch=SEEDS, seed=seed, device=device, **conditions)
        strips[name] = to_uint8(mover.frames).cpu().numpy()
    return strips


def forward(generator: Generator, split: Split, seed: int, device: str) -> np.ndarray:
    """The forward process of the first real images of a split, uint8 (frames, N, C, H, W)."""
    images = to_float(split.images[np.arange(min(REAL_IMAGES, len(split)))]).to(device)
    noise = Noise([seeds.seed_of(seed, i) for i in range(len(images))], device)
    with torch.no_grad():
        frames = generator.noised(images, noise, FRAMES)  # type: ignore[operator]
    return to_uint8(frames).cpu().numpy()


def rows(frames: np.ndarray) -> np.ndarray:
    """Frames (frames, N, C, H, W) as a picture with a row for each image and a column for each frame."""
    return sheets.grid(frames.swapaxes(0, 1).reshape(-1, *frames.shape[2:]), columns=len(frames))
