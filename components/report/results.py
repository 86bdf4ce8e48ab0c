"""Read the attempts of a run: curves, grids, results, diagnoses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from components.common.errors import InputError
from components.common.finite import as_number
from components.families.tasks import TASKS
from components.records.evaluation import Evaluation, MetricResult, RealImages
from components.records.run import FamilyResult, RunManifest, RunSummary, StageEntry
from components.records.training import SampleTable, TrainingResult
from components.report import formatting, health
from components.report.health import HealthView
from components.report.metric_labels import measure
from components.report.reading import (
    AttemptFolder,
    Course,
    Curves,
    LatentCourse,
    NoiseProfile,
    Object,
    Pictures,
    Row,
    copy,
    curves,
    kl_by_latent,
    loss_by_noise,
    read_course,
    read_json,
)
from components.store import Store

CURVED = ("kid", "frechet_distance", "fid", "mse", "mae")  # metrics of snapshots

T = TypeVar("T")

GRID = re.compile(r"(step|backward)-(\d+)\.webp")


def read_run(store: Store, run_id: str) -> RunManifest:
    """Return the manifest of a run.

    Raises:
        InputError: the manifest is missing or cannot be read.
    """
    run = RunManifest.read(read_json(store, f"runs/{run_id}/run.json"))
    if run is None:
        raise InputError(f"there is no run {run_id!r} in this store, or its run.json cannot be read")
    return run


def folder_of(store: Store, stage: StageEntry | None, report: str) -> AttemptFolder | None:
    """Return the folder of a stage's attempt: the recorded one, else the newest."""
    if stage is None or not stage.uri:
        return None
    number = stage.attempt
    if number is None:
        numbers = (int(name) for name in store.list(f"{stage.uri}/attempts") if name.isdigit())
        number = max(numbers, default=None)
    if number is None:
        return None
    owner, key = formatting.slug(stage.family or stage.name), formatting.slug(stage.key)
    return AttemptFolder(store, f"{stage.uri}/attempts/{number}", report, f"{owner}-{key[:8]}-{number}")


def training_result(folder: AttemptFolder) -> TrainingResult | None:
    """Return the result of a training: that of the stage, else the worker's."""
    result = folder.read_json("result.json").get("trained") or folder.read_json("trained.json")
    return TrainingResult.read(result) if result else None


@dataclass(frozen=True)
class Grid:
    """The samples of a step, with the seconds and images of training until then."""

    step: int
    src: str
    seconds: float | None
    images: float | None


@dataclass(frozen=True)
class Samples:
    """The sample grids of a training, and their layout."""

    grids: list[Grid] = field(default_factory=list)
    columns: int | None = None
    count: int | None = None
    resolution: int | None = None
    channels: int | None = None
    titles: list[str] | None = None  # of the tiles
    originals: str | None = None  # the grid of the sources of the samples
    given: str | None = None  # the grid of the sources as the family's input
    backward: Samples | None = None  # of the other direction

    @property
    def likely_task(self) -> str:
        """The task of a family without a result, by its pictures."""
        columns = ("source", self.given), ("output", True), ("target", self.originals)
        sheet = tuple(name for name, grid in columns if grid)
        return next(name for name, task in TASKS.items() if task.sheet == sheet)


def samples(folder: AttemptFolder, course: Course, table: SampleTable) -> Samples:
    """Return the sample grids of a training, copied next to the page, with their steps and costs.

    Grids of steps that a treatment discarded are left out until they are sampled again.
    """
    grids: dict[str, list[Grid]] = {"step": [], "backward": []}
    for way, step, name in drawn(folder, course):
        number = course.attempt_at(step)
        prefix = f"a{number}-" if number > 1 else ""
        if src := folder.copy(f"samples/{name}", f"{prefix}{name}"):
            grids[way].append(Grid(step, src, **cost_at(course.rows, step)))
    forward, backward = (sorted(of, key=lambda grid: grid.step) for of in grids.values())
    shape = (table.columns, table.count, table.resolution, table.channels, table.titles or None)
    images = folder.copy("samples/backward-given.webp", "backward-given.webp") if backward else None
    return Samples(
        forward,
        *shape,
        folder.copy("samples/source.webp", "source.webp"),
        folder.copy("samples/given.webp", "given.webp"),
        Samples(backward, *shape, given=images) if backward else None,
    )


def drawn(folder: AttemptFolder, course: Course) -> Iterator[tuple[str, int, str]]:
    """Yield the way (step or backward), the step and the name of each sample grid that is still valid."""
    for name in folder.store.list(f"{folder.path}/samples"):
        match = GRID.fullmatch(name)
        if match and course.has_reached(int(match[2])):
            yield match[1], int(match[2]), name


def cost_at(rows: Sequence[Row], step: float) -> dict[str, float | None]:
    """Return the seconds and images by `step`, from the last row logged until then; None before the first."""
    before = [row for row in rows if row["step"] <= step] or [{} if step else {"seconds": 0, "images": 0}]
    return {key: as_number(before[-1].get(key)) for key in ("seconds", "images")}


@dataclass(frozen=True)
class RealSheet:
    """A grid of real images next to the page."""

    src: str
    split: str
    count: int | None
    resolution: int | None


def real_images(store: Store, run: RunManifest, report: str) -> RealSheet | None:
    """Return the grid of real images from the stage `reference`."""
    folder = folder_of(store, run.stage("reference"), report)
    real = folder and RealImages.read(folder.read_json("result.json").get("real"))
    src = folder and real and folder.copy(real.path, "real.webp")
    return RealSheet(src, real.split, real.count, real.resolution) if src and real else None


def originals(every: Sequence[Samples]) -> RealSheet | None:
    """Return the source images of a reconstructing family, for use as real images."""
    sheets = (s for s in every if s.originals and not s.given)
    return next((RealSheet(str(s.originals), "validation", s.count, s.resolution) for s in sheets), None)


@dataclass(frozen=True)
class NeighboursView:
    """Published samples and the training images nearest to them, next to the page."""

    published: str
    nearest: str
    columns: int | None
    count: int | None
    resolution: int | None
    closest: float | None
    distances: list[float | None]
    memorised: list[int]
    share: str


def neighbours(store: Store, result: FamilyResult, report: str) -> NeighboursView | None:
    """Return a result's published samples and their nearest training images, copied next to the page."""
    near = result.neighbours
    if near is None or not result.samples or not near.path:
        return None
    copies = {}
    for name, source in (("published", result.samples), ("nearest", near.path)):
        # A store's path contains a key, so a name always belongs to the same image.
        copies[name] = f"samples/{name}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.webp"
        if not copy(store, source, f"{report}/{copies[name]}"):
            return None
    return NeighboursView(
        **copies,
        columns=near.columns,
        count=near.count,
        resolution=near.resolution,
        closest=near.closest,
        distances=near.distances,
        memorised=near.memorised,
        share=_share(result.metrics.get("memorization_rate")),
    )


def _share(metric: MetricResult | None) -> str:
    """Return the share of memorised samples of a family in words; empty if it was not evaluated."""
    if metric is None:
        return ""
    definition = measure("memorization_rate", metric)
    interval = definition.show_interval(metric.low, metric.high)
    within = f" ({interval})" if interval else ""
    real = "" if metric.real_baseline is None else definition.show(metric.real_baseline)
    count = formatting.number(metric.n)
    held_out = f"; {real} of held-out real images come as close" if real else ""
    return f"{definition.show(metric.value)}{within} of {count} samples memorised{held_out}"


def results_of(store: Store, run: RunManifest, report: str) -> list[FamilyResult]:
    """Return the results in the manifest, and those of families evaluated since it was last written."""
    results = list(run.results)
    families = {result.family for result in results}
    for stage in run.stages:
        if stage.name != "evaluate" or not stage.family or stage.family in families or not stage.is_finished:
            continue
        folder = folder_of(store, stage, report)
        evaluation = folder and Evaluation.read(folder.read_json("result.json").get("evaluated"))
        if evaluation and evaluation.metrics:
            results.append(FamilyResult(**vars(evaluation), family=stage.family))
    return results


@dataclass(frozen=True)
class Failure:
    """A failed stage, with its error as one sentence."""

    family: str | None
    stage: str
    optional: bool  # whether its family has finished nevertheless
    error: str


def failures(run: RunSummary) -> list[Failure]:
    """Return the failed stages, each with one sentence."""
    return [
        Failure(
            stage.family,
            stage.name,
            stage.optional,
            (stage.error or "no reason was recorded").strip().split("\n")[0],
        )
        for stage in run.failed
    ]


def stage_view(
    store: Store,
    run: RunManifest,
    stage: StageEntry | None,
    report: str,
    read: Callable[[Object, Pictures], T | None],
) -> T | None:
    """Return what `read` makes of the result of a stage after a family's training; None without a result."""
    folder = folder_of(store, stage, report)
    if stage is None or folder is None:
        return None
    folder = AttemptFolder(store, folder.path, report, f"{stage.name}-{folder.stem}")
    return read(folder.read_json("result.json"), Pictures(folder, run.lineage.data.resolution))


@dataclass(frozen=True)
class TrainingView:
    """The curves, grids and health of a family's training, and its rows."""

    rows: list[Row]
    curves: Curves
    by_noise: list[NoiseProfile]
    by_latent: list[LatentCourse]
    samples: Samples
    health: HealthView | None


def training_of(folder: AttemptFolder | None, settings: Mapping[str, Any]) -> TrainingView:
    """Return the curves, grids and health of a family's training."""
    if folder is None:
        return TrainingView([], curves([]), [], [], Samples(), None)
    training = training_result(folder)
    events = health.read_events(folder.store, folder.path, training)
    course = read_course(folder.store, folder.path, health.back_to(events))
    return TrainingView(
        course.rows,
        curves(course.rows),
        loss_by_noise(course.rows),
        kl_by_latent(course.rows),
        samples(folder, course, training.samples if training else SampleTable()),
        health.of_family(folder, course, events, training, settings),
    )
