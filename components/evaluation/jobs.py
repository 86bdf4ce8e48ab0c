"""Evaluation jobs that run on workers: make an extractor, extract features, compute metrics.

Images are sampled in ranges of whole chunks by global position, so results do not depend on the number of
workers. The arrays of each range are a part in the store, complete once its done.json exists. No job holds
more than one range, and an interrupted stage resumes with the missing parts.

    <parts>/<first position>/features.npy ... done.json
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from components.common.arrays import open_array
from components.common.chunks import CHUNK
from components.common.errors import InputError, RunError
from components.common.hashing import sha256
from components.common.threads import using_threads
from components.config.evaluate import Evaluate
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.text.encoded import open_text
from components.evaluation import both_ways, equivariance, evaluate, stability
from components.evaluation.baselines import baseline_images
from components.evaluation.parts import merge_parts, read_part, write_part
from components.evaluation.reference import EvaluationSample, Reference, describe
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.evaluation.samples import EvaluationInputs, Samples, open_model, sample_for_evaluation
from components.extractors.extractor import Extractor
from components.extractors.load import load_extractor
from components.extractors.lpips import SMALLEST, Lpips
from components.extractors.make import make
from components.extractors.pretrained import lpips_trunk
from components.families.catalogue import task_of
from components.families.tasks import Task
from components.metrics import image_pairs, manifold
from components.metrics.image_pairs import absolute_errors, luma_values, squared_errors
from components.records.evaluation import Baseline, Evaluation, Metrics, Neighbours, Part, RealImages
from components.records.extractor import ExpectedExtractor, ExtractorIdentity
from components.records.names import RESULT
from components.records.stages import ReferenceResult
from components.records.training import SampleTable, TrainingResult
from components.sampling import sheets
from components.sampling.sheets import SHEET_COLUMNS
from components.sampling.sources import as_images
from components.sampling.to_file import write_picture
from components.store import Store
from models.family import Generator

# Prefixes of arrays: values per pair, values of a baseline, and values of the other direction.
PAIR, BASELINE, BACKWARD = "pair-", "baseline-", "backward-"
PER_PAIR = ("mse", "mae", "psnr", "ssim", "psnr_y", "ssim_y", "lpips")

REAL_IMAGES = 20  # in the picture of real images


def extractor(
    store: Store, data: str, out: str, settings: Mapping[str, Any], threads: int
) -> ExtractorIdentity:
    """Train or adopt the extractor of a data set, store it in the folder `out` and return its description."""
    with using_threads(threads), tempfile.TemporaryDirectory() as folder:
        prepared = store.local_copy(data)
        splits = open_split(prepared, "train"), open_split(prepared, "validation")
        evaluate_settings = Evaluate(**settings)
        config = make(evaluate_settings.extractor, evaluate_settings, *splits, Path(folder))
        identity = load_extractor(folder, ExpectedExtractor(config.name, config.hash)).identity
        store.upload(folder, out)
    return identity


def extract_features(places: EvaluationPaths, split: str, start: int, n: int) -> None:
    """Store the features of real images [start, start + n) of a split."""
    store, parts = places.store, f"{places.parts}/{split}"
    if read_part(store, parts, start):
        return
    with using_threads(places.threads):
        extract = load_extractor(store.local_copy(places.extractor), places.expected)
        images = open_split(store.local_copy(places.data), split).images
        features = extract(images[np.arange(start, start + n)])
        write_part(store, parts, start, {"features": features}, Part(n=n))


def reference(
    places: EvaluationPaths, out: str, samples: int, classifier_steps: int, most: int | None = None
) -> ReferenceResult:
    """Store the reference in the folder `out`: features, real baselines and a picture of real images."""
    store = places.store
    prepared, extractor_folder = store.local_copy(places.data), store.local_copy(places.extractor)
    with using_threads(places.threads), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split in DatasetCard.read(prepared).counts:
            part = folder / "features" / split
            part.mkdir(parents=True)
            merge_parts(store, f"{places.parts}/{split}", "features", part)
            (part / "features.npy").rename(folder / "features" / f"{split}.npy")
            part.rmdir()
        info = describe(prepared, folder, extractor_folder, samples, places.expected, classifier_steps, most)
        test = open_split(prepared, "test")
        rows = sheets.grid_rows(test, REAL_IMAGES)
        sheets.save_webp(sheets.grid(test.images[rows]), folder / "real.webp")
        store.upload(folder, out)
    real = RealImages(
        path="real.webp",
        columns=sheets.SHEET_COLUMNS,
        count=len(rows),
        resolution=test.images.shape[-1],
    )
    return ReferenceResult(reference=info, real=real)


def sample(job: SampleRequest) -> Part:
    """Sample images and store their features, labels and, if they have targets, their errors."""
    places = job.places
    store = places.store
    if finished := read_part(store, places.parts, job.start):
        return finished
    assert job.start % CHUNK == 0, "a range begins with a chunk"
    with using_threads(places.threads):
        generator, inputs = open_model(
            store, job.model, places.data, places.captions, job.split, device=job.device
        )
        extract = load_extractor(store.local_copy(places.extractor), places.expected)
        samples = sample_for_evaluation(
            generator, inputs, job.n, job.seed, start=job.start, device=job.device
        )
        arrays = arrays_of(job, generator, inputs, samples, extract)
        part = Part(n=job.n, seconds=samples.seconds, border=border_of(generator, inputs))
    write_part(store, places.parts, job.start, arrays, part)
    return part


def arrays_of(
    job: SampleRequest, generator: Generator, inputs: EvaluationInputs, samples: Samples, extract: Extractor
) -> dict[str, np.ndarray]:
    """Return all arrays of a range: of the samples, of the baselines and of the other direction."""
    border = border_of(generator, inputs)
    fixed: dict[str, Any] = {"start": job.start, "device": job.device}
    arrays = measured(samples.images, extract, samples.targets, job.lpips, border)
    if samples.labels is not None:
        arrays |= {"labels": samples.labels, "images": samples.images}
    if samples.captions is not None:
        arrays["captions"] = samples.captions
    if job.baselines:
        for name, images in baseline_images(generator, inputs, job.n, job.seed, **fixed).items():
            of_baseline = measured(images, extract, samples.targets, job.lpips, border)
            arrays |= prefixed(f"{BASELINE}{name}-", of_baseline)
    if both_ways.translates_both_ways(generator, inputs):
        arrays |= arrays_of_both_ways(job, generator, inputs, extract)
    if equivariance.can_move(generator):
        arrays |= equivariance.motion_errors(generator, inputs, n=job.n, seed=job.seed, **fixed)
    return arrays


def arrays_of_both_ways(
    job: SampleRequest, generator: Generator, inputs: EvaluationInputs, extract: Extractor
) -> dict[str, np.ndarray]:
    """Return the cycle errors of a range, and what `arrays_of` returns of the other direction."""
    fixed: dict[str, Any] = {"n": job.n, "seed": job.seed, "start": job.start, "device": job.device}
    rows, split, card = np.arange(job.start, job.start + job.n), inputs.split, inputs.card
    assert split.sources is not None
    cycle, back_cycle = both_ways.cycle_errors(generator, inputs, **fixed)
    real = split.sources[rows]
    targets = real if inputs.has_pairs else None

    def see(images: np.ndarray) -> np.ndarray:  # which may have other channels than what the extractor knows
        return extract(as_images(images, card))

    back = measured(both_ways.backward_images(generator, inputs, **fixed), see, targets, job.lpips)
    back |= {"real": see(real), both_ways.CYCLE: back_cycle}
    if job.baselines:
        identity = measured(as_images(split.images[rows], card.reversed()), see, targets, job.lpips)
        back |= prefixed(f"{BASELINE}identity-", identity)
    return {both_ways.CYCLE: cycle, **prefixed(BACKWARD, back)}


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays under names that begin with `prefix`."""
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def border_of(generator: Generator, inputs: EvaluationInputs) -> int | None:
    """Return the pixels at each side that luma is compared without: the scale; None without enlarging."""
    if not inputs.task.smaller_source:
        return None
    source, card = inputs.card.source, inputs.card
    side = source.resolution if source else getattr(generator, "source_resolution", card.resolution)
    return round(card.resolution / side)


def measured(
    images: np.ndarray,
    extract: Callable[[np.ndarray], np.ndarray],
    targets: np.ndarray | None,
    lpips: str | None,
    border: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the features of images and, if they have targets, the errors of each image."""
    arrays = {"features": extract(images)}
    if targets is not None:
        arrays |= prefixed(PAIR, pair_values(targets, images, lpips, border))
    return arrays


def pair_values(
    targets: np.ndarray, images: np.ndarray, trunk: str | None, border: int | None = None
) -> dict[str, np.ndarray]:
    """Return errors and similarities of each image and its target, (N,) by metric.

    Args:
        targets: uint8 (N, C, H, W).
        images: uint8 (N, C, H, W).
        trunk: file of the LPIPS trunk; None: without LPIPS.
        border: pixels at each side that luma is compared without; None: without luma.
    """
    values = {
        "mse": squared_errors(targets, images),
        "mae": absolute_errors(targets, images),
        "psnr": image_pairs.psnr_values(targets, images),
        "ssim": image_pairs.ssim_values(targets, images),
    }
    if border is not None:
        values |= luma_values(targets, images, border)
    if trunk is not None and (network := lpips_trunk(trunk)) and min(images.shape[2:]) >= SMALLEST:
        values["lpips"] = Lpips(network)(targets, images)
    return values


def evaluate_family(job: EvaluateRequest) -> Evaluation:
    """Return the metrics of a family's samples and the nearest training images of its published samples.

    Raises:
        RunError: the training's result cannot be read.
    """
    store, task = job.places.store, task_of(job.family)
    training = TrainingResult.read(store.read_json(f"{job.train}/{RESULT}"))
    if training is None:
        raise RunError(f"{job.train}/{RESULT} is damaged; train with --force train")
    result = Evaluation()
    with using_threads(job.places.threads), tempfile.TemporaryDirectory() as name:
        ref, parts, out = open_reference(store, job.places), job.places.parts, Path(name)
        captions = merge_parts(store, parts, "captions", out)
        samples = read_samples(store, parts, out)
        if not job.published:
            samples = replace(samples, images=None)  # no classifier is trained on them
        result.metrics = evaluate.task_metrics(
            task,
            samples,
            ref,
            pairs=_pairs(store, parts, out),
            captions=captions,
            caption_names=None if captions is None else _caption_names(store, job.places),
            border=_border(store, parts),
        )
        result.metrics |= _both_ways(store, parts, out, ref)
        result.metrics |= _equivariance(store, parts, out, ref)
        result.baselines = _baselines(store, task, parts, out, ref)
        if "set" in task.metrics:
            result.judge_accuracy = ref.accuracy("test")
        if job.published:
            result.stability = stability.stability(training.curve, task.selects)
        if job.published and "set" in task.metrics:
            result.neighbours = _neighbours(store, job, training.samples, ref)
    return result


def _baselines(store: Store, task: Task, parts: str, out: Path, ref: Reference) -> list[Baseline]:
    """Return the metrics of the task's baselines on the same sources, as far as they were sampled."""
    baselines = []
    for name in task.baselines:
        prefix = f"{BASELINE}{name}-"
        features = merge_parts(store, parts, f"{prefix}features", out)
        if features is None:
            continue
        pairs, border = _pairs(store, parts, out, prefix), _border(store, parts)
        metrics = evaluate.task_metrics(task, EvaluationSample(features), ref, pairs=pairs, border=border)
        metrics |= _backward(store, parts, out, ref, prefix)
        baselines.append(Baseline(name=name, metrics=metrics))
    return baselines


def _both_ways(store: Store, parts: str, out: Path, ref: Reference) -> Metrics:
    """Return the metrics of a translation there and back and of the other direction; empty without one."""
    names = (both_ways.CYCLE, f"{BACKWARD}{both_ways.CYCLE}")
    cycles = [merge_parts(store, parts, name, out) for name in names]
    there, back = (
        {} if errors is None else evaluate.evaluate_values({both_ways.CYCLE: errors}, ref)
        for errors in cycles
    )
    return there | _backward(store, parts, out, ref) | evaluate.backward(back)


def _equivariance(store: Store, parts: str, out: Path, ref: Reference) -> Metrics:
    """Return how exactly samples move with the input of their generator; empty if it cannot move."""
    names = (equivariance.SHIFT, equivariance.ROTATION)
    errors = {name: merge_parts(store, parts, name, out) for name in names}
    return evaluate.evaluate_motions({name: e for name, e in errors.items() if e is not None}, ref)


def _backward(store: Store, parts: str, out: Path, ref: Reference, prefix: str = "") -> Metrics:
    """Return the metrics of the other direction, or of a baseline of it."""
    real, features = (
        merge_parts(store, parts, name, out) for name in (f"{BACKWARD}real", f"{BACKWARD}{prefix}features")
    )
    if real is None or features is None:
        return {}
    pairs = _pairs(store, parts, out, f"{BACKWARD}{prefix}")
    return evaluate.evaluate_backward(EvaluationSample(features), real, pairs, ref)


def _border(store: Store, parts: str) -> int | None:
    part = read_part(store, parts, 0)
    return part.border if part else None


def _caption_names(store: Store, places: EvaluationPaths) -> np.ndarray:
    return open_text(store.local_copy(places.captions), "test").rows


def open_reference(store: Store, places: EvaluationPaths) -> Reference:
    """Open the reference at these paths."""
    read = Reference.read(
        store.local_copy(places.reference),
        store.local_copy(places.extractor),
        store.local_copy(places.data),
        places.expected,
    )
    return replace(read, computed=store.child("baselines", sha256(places.reference)[:16]))


def read_samples(store: Store, parts: str, out: Path, **origin: str) -> EvaluationSample:
    """Return the samples of all parts, memory-mapped in `out`; `origin` is their seeds and preparation."""
    features, labels, images = (
        merge_parts(store, parts, name, out) for name in ("features", "labels", "images")
    )
    assert features is not None
    return EvaluationSample(features, labels, images, **origin)


def _pairs(store: Store, parts: str, out: Path, prefix: str = "") -> dict[str, np.ndarray]:
    values = {name: merge_parts(store, parts, f"{prefix}{PAIR}{name}", out) for name in PER_PAIR}
    return {name: per_image for name, per_image in values.items() if per_image is not None}


def _neighbours(store: Store, job: EvaluateRequest, table: SampleTable, ref: Reference) -> Neighbours:
    """Store a picture of the training image nearest to each published sample; return their distances."""
    assert table.channels and table.resolution and table.count
    array = sheets.decode_webp(store.read_bytes(f"{job.train}/{table.kept}"), table.channels)
    rows, result = evaluate.neighbours(
        ref.extractor(sheets.ungrid(array, table.resolution, table.count)), ref
    )
    images = open_split(ref.data, "train").images[rows]
    result.path = f"{job.out}/neighbours.webp"
    store.write_bytes(result.path, sheets.encode_webp(sheets.grid(images)))
    result.columns, result.count, result.resolution = table.columns, table.count, table.resolution
    return result


def write_neighbours(images: np.ndarray, output: Path, store: Store, stages: Mapping[str, str]) -> None:
    """Write a picture of some samples, each with the nearest training image below it.

    Args:
        images: uint8 (N, C, H, W).
        output: a .png or .webp file.
        store: the store of the run.
        stages: the folders of its results, by stage.
    """
    extract = load_extractor(store.local_copy(f"{stages['extractor']}/extractor"))
    train = open_split(store.local_copy(f"{stages['prepare']}/data"), "train").images
    features = open_array(store.local_copy(f"{stages['reference']}/features/train.npy"))
    if images.shape[1:] != train.shape[1:]:
        raise InputError(
            f"--nearest: the sample has {images.shape[3]}x{images.shape[2]} pixels, and training images "
            f"{train.shape[3]}x{train.shape[2]}"
        )
    nearest = train[manifold.nearest(extract(images), features)[0]]
    width, shape = min(len(images), SHEET_COLUMNS), images.shape[1:]
    padding = np.full((-len(images) % width, *shape), 255, np.uint8)
    rows = [np.concatenate([row, padding]).reshape(-1, width, *shape) for row in (images, nearest)]
    write_picture(np.stack(rows, axis=1).reshape(-1, *shape), output, width)
