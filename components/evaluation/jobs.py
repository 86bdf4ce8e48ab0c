"""What a worker is sent to do to judge: make an extractor, look at images through it, judge what was seen.

Images are drawn and looked at in ranges of whole chunks by their global position, so the numbers do not
depend on how many workers share the work. Each range leaves a part in the store, complete once its done.json
is there; no job holds more than a range, and an interrupted stage goes on with the parts that are missing.

    <parts>/<first position>/features.npy ... done.json
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.common.chunks import CHUNK
from components.common.errors import RunError
from components.common.threads import using_threads
from components.config.evaluate import Evaluate
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.text.encoded import open_text
from components.evaluation import evaluate, stability
from components.evaluation.parts import merge_parts, read_part, write_part
from components.evaluation.reference import EvaluationSample, Reference, describe
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.evaluation.samples import baseline_images, open_model, sample_for_evaluation
from components.extractors.extractor import Extractor
from components.extractors.load import load_extractor
from components.extractors.lpips import SMALLEST, Lpips, lpips_trunk
from components.extractors.make import make
from components.families.catalogue import task_of
from components.families.tasks import Task
from components.metrics import image_pairs, manifold
from components.metrics.image_pairs import absolute_errors, squared_errors
from components.records.evaluation import Baseline, Evaluation, Neighbours, RealImages
from components.records.extractor import ExtractorIdentity
from components.records.names import RESULT
from components.records.stages import ReferenceResult
from components.records.training import SampleTable, TrainingResult
from components.sampling import sheets
from components.sampling.sheets import SHEET_COLUMNS
from components.sampling.to_file import write_picture
from components.store import Store

PAIR, BASELINE = "pair-", "baseline-"  # how the arrays begin that say how close pairs are, and of a baseline

REAL_IMAGES = 20  # in the picture of real ones beside the samples


def extractor(
    store_url: str, data: str, out: str, settings: Mapping[str, Any], threads: int
) -> ExtractorIdentity:
    """Train or adopt the extractor of a data set, and leave it in the store's folder `out`."""
    store = Store(store_url)
    with using_threads(threads), tempfile.TemporaryDirectory() as folder:
        prepared = store.local_copy(data)
        splits = open_split(prepared, "train"), open_split(prepared, "validation")
        chosen = Evaluate(**settings)
        make(chosen.extractor, chosen, *splits, Path(folder))
        identity = load_extractor(folder).identity
        store.upload(folder, out)
    return identity


def extract_features(places: EvaluationPaths, split: str, start: int, n: int) -> None:
    """Leave the features of real images [start, start + n) of a split."""
    store, parts = places.open(), f"{places.parts}/{split}"
    if read_part(store, parts, start):
        return
    with using_threads(places.threads):
        see = load_extractor(store.local_copy(places.extractor))
        images = open_split(store.local_copy(places.data), split).images
        write_part(store, parts, start, {"features": see(images[np.arange(start, start + n)])})


def reference(places: EvaluationPaths, out: str, samples: int) -> ReferenceResult:
    """Complete the reference: features of all splits, real_baselines, and a picture of real images."""
    store = places.open()
    prepared, see = store.local_copy(places.data), store.local_copy(places.extractor)
    with using_threads(places.threads), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split in DatasetCard.read(prepared).counts:
            part = folder / "features" / split
            part.mkdir(parents=True)
            merge_parts(store, f"{places.parts}/{split}", "features", part)
            (part / "features.npy").rename(folder / "features" / f"{split}.npy")
            part.rmdir()
        info = describe(prepared, folder, see, samples)
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


def sample(job: SampleRequest) -> Mapping[str, Any]:
    """Leave features of the images, their labels, and how close each is to its target where it has one.

    Returns n and the seconds that sampling alone took.
    """
    places = job.places
    store = places.open()
    if told := read_part(store, places.parts, job.start):
        return told
    assert job.start % CHUNK == 0, "a range begins with a chunk"
    with using_threads(places.threads):
        generator, inputs = open_model(
            store, job.model, places.data, places.captions, job.split, device=job.device
        )
        see = load_extractor(store.local_copy(places.extractor))
        samples = sample_for_evaluation(
            generator, inputs, job.n, job.seed, start=job.start, device=job.device
        )
        arrays = seen(samples.images, see, samples.targets, job.lpips)
        if samples.labels is not None:
            arrays |= {"labels": samples.labels, "images": samples.images}
        if samples.captions is not None:
            arrays["captions"] = samples.captions
        if job.baseline:
            images = baseline_images(generator, inputs, job.n, job.seed, start=job.start, device=job.device)
            of_baseline = {} if images is None else seen(images, see, samples.targets, job.lpips)
            arrays |= {f"{BASELINE}{name}": array for name, array in of_baseline.items()}
    return write_part(store, places.parts, job.start, arrays, n=job.n, seconds=samples.seconds)


def seen(
    images: np.ndarray, extractor: Extractor, targets: np.ndarray | None, lpips: str | None
) -> dict[str, np.ndarray]:
    """The features of images and, where they have targets, how close each is to its own."""
    arrays = {"features": extractor(images)}
    if targets is not None:
        arrays |= {f"{PAIR}{name}": each for name, each in pair_values(targets, images, lpips).items()}
    return arrays


def pair_values(targets: np.ndarray, images: np.ndarray, trunk: str | None) -> dict[str, np.ndarray]:
    """How close each image is to its target, by measure: (N,) each."""
    values = {
        "mse": squared_errors(targets, images),
        "mae": absolute_errors(targets, images),
        "psnr": image_pairs.psnr_values(targets, images),
        "ssim": image_pairs.ssim_values(targets, images),
    }
    if trunk is not None and (found := lpips_trunk(trunk)) and min(images.shape[2:]) >= SMALLEST:
        values["lpips"] = Lpips(found)(targets, images)
    return values


def evaluate_family(job: EvaluateRequest) -> Evaluation:
    """Return the metrics of a family's images and, of its published samples, the nearest training images.

    Raises:
        RunError: the training's result cannot be read.
    """
    store, task = job.places.open(), task_of(job.family)
    training = TrainingResult.read(store.read_json(f"{job.train}/{RESULT}"))
    if training is None:
        raise RunError(f"{job.train}/{RESULT} is damaged; train with --force train")
    result = Evaluation()
    with using_threads(job.places.threads), tempfile.TemporaryDirectory() as name:
        ref, parts, out = open_reference(store, job.places), job.places.parts, Path(name)
        captions = merge_parts(store, parts, "captions", out)
        result.metrics = evaluate.task_metrics(
            task,
            read_samples(store, parts, out),
            ref,
            pairs=_pairs(store, parts, out),
            captions=captions,
            caption_names=None if captions is None else _caption_names(store, job.places),
        )
        result.baseline = _baseline(store, task, parts, out, ref)
        if job.published:
            result.stability = stability.stability(training.curve, task.selects)
        if job.published and "set" in task.metrics:
            result.neighbours = _neighbours(store, job, training.samples, ref)
    return result


def _baseline(store: Store, task: Task, parts: str, out: Path, ref: Reference) -> Baseline | None:
    """Return the metrics of the task's baseline on the same sources, if it was sampled."""
    features = merge_parts(store, parts, f"{BASELINE}features", out)
    if features is None:
        return None
    pairs = _pairs(store, parts, out, BASELINE)
    return Baseline(
        name=str(task.baseline),
        metrics=evaluate.task_metrics(task, EvaluationSample(features), ref, pairs=pairs),
    )


def _caption_names(store: Store, places: EvaluationPaths) -> np.ndarray:
    return open_text(store.local_copy(places.captions), "test").rows


def open_reference(store: Store, places: EvaluationPaths) -> Reference:
    """What samples are judged against, at hand."""
    return Reference.read(
        store.local_copy(places.reference),
        store.local_copy(places.extractor),
        store.local_copy(places.data),
    )


def read_samples(store: Store, parts: str, out: Path, **about: str) -> EvaluationSample:
    """What the jobs have left of the images to be judged."""
    features, labels, images = (
        merge_parts(store, parts, name, out) for name in ("features", "labels", "images")
    )
    assert features is not None
    return EvaluationSample(features, labels, images, **about)


def _pairs(store: Store, parts: str, out: Path, of: str = "") -> dict[str, np.ndarray]:
    names = ("mse", "mae", "psnr", "ssim", "lpips")
    values = {name: merge_parts(store, parts, f"{of}{PAIR}{name}", out) for name in names}
    return {name: each for name, each in values.items() if each is not None}


def _neighbours(store: Store, job: EvaluateRequest, table: SampleTable, ref: Reference) -> Neighbours:
    """Store a picture of the nearest training image of each published sample; return how near they are."""
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
    """Write a picture of some samples, each with the nearest training image under it.

    Args:
        images: uint8 (N, C, H, W).
        output: a .png or .webp file.
        store: of the run.
        stages: the folders of its results, by stage.
    """
    see = load_extractor(store.local_copy(f"{stages['extractor']}/extractor"))
    train = open_split(store.local_copy(f"{stages['prepare']}/data"), "train").images
    features = np.load(store.local_copy(f"{stages['reference']}/features/train.npy"), mmap_mode="r")
    near = train[manifold.nearest(see(images), features)[0]]
    width = min(len(images), SHEET_COLUMNS)
    spare = np.full((-len(images) % width, *images.shape[1:]), 255, np.uint8)
    lines = [np.concatenate([each, spare]).reshape(-1, width, *images.shape[1:]) for each in (images, near)]
    write_picture(np.stack(lines, axis=1).reshape(-1, *images.shape[1:]), output, width)
