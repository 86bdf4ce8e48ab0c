"""What a worker is sent to do to judge: make an extractor, look at images through it, judge what was seen.

Images are drawn and looked at in ranges of whole chunks by their global position, so the numbers do not
depend on how many workers share the work. Each range leaves a part in the store, complete once its done.json
is there; no job holds more than a range, and an interrupted stage goes on with the parts that are missing.

    <parts>/<first position>/features.npy ... done.json
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.common.chunks import CHUNK
from components.common.errors import RunError
from components.common.threads import using_threads
from components.config.evaluate import Evaluate
from components.data.card import DataCard
from components.data.dataset import open_split
from components.data.text.encoded import open_text
from components.evaluation import evaluate, stability
from components.evaluation.parts import gather, leave, left
from components.evaluation.reference import Judged, Reference, describe
from components.evaluation.requests import Draw, Places, Verdict
from components.extractors.load import load_extractor
from components.extractors.lpips import SMALLEST, Lpips, lpips_trunk
from components.extractors.make import make
from components.families.artifact import load_model
from components.families.catalogue import task_of
from components.metrics import image_pairs, manifold
from components.metrics.image_pairs import absolute_errors, squared_errors
from components.records.evaluation import Evaluation, Neighbours, RealImages
from components.records.names import RESULT
from components.records.training import SampleTable, TrainingResult
from components.sampling import generate, sheets
from components.sampling.conditions import conditions_of
from components.sampling.sheets import SHEET_COLUMNS
from components.sampling.to_file import write_picture
from components.store import Store

REAL_IMAGES = 20  # in the picture of real ones beside the samples


def extractor(store_url: str, data: str, out: str, settings: dict[str, Any], threads: int) -> dict[str, Any]:
    """Train or adopt the extractor of a data set, and leave it in the store's folder `out`."""
    store = Store(store_url)
    with using_threads(threads), tempfile.TemporaryDirectory() as folder:
        prepared = store.local_copy(data)
        splits = open_split(prepared, "train"), open_split(prepared, "validation")
        chosen = Evaluate(**settings)
        make(chosen.extractor, chosen, *splits, Path(folder))
        described = load_extractor(folder).described
        store.upload(folder, out)
    return described


def look_at_split(places: Places, split: str, start: int, n: int) -> None:
    """Leave the features of real images [start, start + n) of a split."""
    store, parts = places.open(), f"{places.parts}/{split}"
    if left(store, parts, start):
        return
    with using_threads(places.threads):
        see = load_extractor(store.local_copy(places.extractor))
        images = open_split(store.local_copy(places.data), split).images
        leave(store, parts, start, {"features": see(images[np.arange(start, start + n)])})


def reference(places: Places, out: str, samples: int) -> dict[str, Any]:
    """Complete the reference: features of all splits, floors, and a picture of real images."""
    store = places.open()
    prepared, see = store.local_copy(places.data), store.local_copy(places.extractor)
    with using_threads(places.threads), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split in DataCard.read(prepared).counts:
            part = folder / "features" / split
            part.mkdir(parents=True)
            gather(store, f"{places.parts}/{split}", "features", part)
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
    return {"reference": info, "real": real.to_json()}


def draw(job: Draw) -> dict[str, Any]:
    """Leave features of the images, their labels, and how close each is to its target where it has one.

    Returns n and the seconds that sampling alone took.
    """
    places = job.places
    store = places.open()
    if told := left(store, places.parts, job.start):
        return told
    assert job.start % CHUNK == 0, "a range begins with a chunk"
    with using_threads(places.threads):
        generator, card, described = load_model(store.local_copy(job.model))
        generator.to(job.device)
        folder = store.local_copy(places.data)
        split = open_split(folder, job.split, store.local_copy(places.captions) if card.text else None)
        model, rows = described["family"], np.arange(job.start, job.start + job.n)
        conditions = conditions_of(model, described["config"], card, DataCard.read(folder), split)
        see = load_extractor(store.local_copy(places.extractor))
        began = time.perf_counter()
        images = generate.draw(
            generator, card, n=job.n, seed=job.seed, start=job.start, device=job.device, **conditions
        )
        seconds = time.perf_counter() - began
        arrays = {"features": see(images)}
        if "labels" in conditions:
            labels = generate.classes(rows, job.seed, conditions["labels"], conditions.get("counts"))
            arrays |= {"labels": labels, "images": images}
        if split.text is not None:
            arrays["captions"] = split.text.rows[rows]
        if task_of(model).has_target:
            targets = split.images[rows]
            arrays |= {f"pair-{name}": each for name, each in pair_values(targets, images, job.lpips).items()}
    return leave(store, places.parts, job.start, arrays, n=job.n, seconds=seconds)


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


def judge(job: Verdict) -> Evaluation:
    """The numbers of a family's images and, of its published samples, the nearest training images.

    Raises:
        RunError: the training's result cannot be read.
    """
    store = job.places.open()
    training = TrainingResult.read(store.read_json(f"{job.train}/{RESULT}"))
    if training is None:
        raise RunError(f"{job.train}/{RESULT} is damaged; train with --force train")
    result, paired = Evaluation(), task_of(job.family).has_target
    with using_threads(job.places.threads), tempfile.TemporaryDirectory() as name:
        ref = open_reference(store, job.places)
        judged = read_judged(store, job.places.parts, Path(name))
        if paired:
            values = _pairs(store, job.places.parts, Path(name))
            result.metrics = evaluate.judge_pairs(judged, values, ref)
        else:
            result.metrics = evaluate.judge(judged, ref)
        asked = gather(store, job.places.parts, "captions", Path(name))
        if asked is not None and not paired:
            names = open_text(store.local_copy(job.places.captions), "test").rows
            result.metrics |= evaluate.judge_retrieval(judged, asked, names, ref)
        if job.published:
            result.stability = stability.stability(training.curve, task_of(job.family).selects)
        if job.published and not paired:
            result.neighbours = _neighbours(store, job, training.samples, ref)
    return result


def open_reference(store: Store, places: Places) -> Reference:
    """What samples are judged against, at hand."""
    return Reference.read(
        store.local_copy(places.reference),
        store.local_copy(places.extractor),
        store.local_copy(places.data),
    )


def read_judged(store: Store, parts: str, out: Path, **about: str) -> Judged:
    """What the jobs have left of the images to be judged."""
    features, labels, images = (gather(store, parts, name, out) for name in ("features", "labels", "images"))
    assert features is not None
    return Judged(features, labels, images, **about)


def _pairs(store: Store, parts: str, out: Path) -> dict[str, np.ndarray]:
    names = ("mse", "mae", "psnr", "ssim", "lpips")
    found = {name: gather(store, parts, f"pair-{name}", out) for name in names}
    return {name: values for name, values in found.items() if values is not None}


def _neighbours(store: Store, job: Verdict, table: SampleTable, ref: Reference) -> Neighbours:
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
