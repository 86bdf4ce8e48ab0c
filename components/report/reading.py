"""Read a store for pages: JSON, images, logged rows of a training. Missing or torn parts are left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.finite import as_number
from components.common.plain_json import parsed
from components.records.analysis import PictureFile
from components.report import formatting
from components.store import Store
from components.store.errors import unless_torn

MAX_POINTS = 500  # of a curve; a screen cannot show more
PART = re.compile(r"part-(\d+)-(\d+)(?:-a(\d+))?\.jsonl")
VITAL, SNAPSHOT = "health/", "snapshot/"  # prefixes of the columns of the health monitor and of snapshots
# Mean and variance of a phase's loss in a bucket of times, and the bucket's mean share of noise.
BY_NOISE = re.compile(r"(.+)/(loss|var|noise)_t(\d+)")
BY_LATENT = re.compile(r"(.+)/kl_z(\d+)")  # a phase's KL of one dimension of the code, in nats
MOMENTS = 60  # points of training at which the KL of every dimension is shown
LATE = 10  # a bucket is shown as the mean over the last 1 / LATE of the rows
TILE = 56  # approximate pixels of an image on the page

Row = Mapping[str, int | float]
"""The values that a training logged after a step, by name."""

Object = Mapping[str, Any]


def read_json(store: Store, rel: str) -> Mapping[str, Any]:
    """Return a JSON object in the store; empty if it is missing, torn or something else."""
    value = unless_torn(lambda: store.read_json(rel))  # a missing store still raises
    return value if isinstance(value, dict) else {}


def copy(store: Store, source: str, target: str) -> bool:
    """Copy an image unless it exists: attempts are immutable, and their key is in the name."""
    if store.exists(target):
        return True
    try:
        store.write_bytes(target, store.read_bytes(source))
    except FileNotFoundError:
        return False
    return True


@dataclass(frozen=True)
class AttemptFolder:
    """The folder of a stage's attempt.

    Args:
        store: store of the stage and the page.
        path: the folder.
        report: folder of the page, for copies of pictures.
        stem: beginning of the copies' names.
    """

    store: Store
    path: str
    report: str
    stem: str

    def read_json(self, name: str) -> Mapping[str, Any]:
        """Return a JSON object in the folder; empty if it is missing, torn or something else."""
        return read_json(self.store, f"{self.path}/{name}")

    def copy(self, name: str, target: str) -> str | None:
        """Copy a picture next to the page; return the path of the copy, None if there is no picture."""
        path = f"samples/{self.stem}-{target}"
        return path if copy(self.store, f"{self.path}/{name}", f"{self.report}/{path}") else None


@dataclass(frozen=True)
class Picture:
    """A picture and its size on the page, so that loading it does not move the layout."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The pictures of a stage, copied next to the page.

    Args:
        folder: folder of the stage's attempt.
        resolution: pixels along a side of an image, if known.
    """

    folder: AttemptFolder
    resolution: int | None

    def take(self, path: PictureFile, rows: int, columns: int) -> Picture | None:
        """Return a copy of a picture of images in rows and columns; None if it is missing."""
        target = self.folder.copy(path, f"{formatting.slug(path.removesuffix('.webp'))}.webp")
        return Picture(target, columns * self.tile, rows * self.tile) if target else None

    @property
    def tile(self) -> int:
        """Pixels of an image on the page: a multiple of its resolution."""
        side = self.resolution or TILE
        return side * max(1, round(TILE / side))


@dataclass(frozen=True)
class Course:
    """The rows of a training by step.

    A treatment goes back to an earlier step and begins another attempt; earlier rows after that step are
    given up.

    Args:
        rows: rows that led to the current weights.
        given_up: other rows, by attempt.
        begins: the step after which each attempt begins.
    """

    rows: list[Row]
    given_up: dict[int, list[Row]]
    begins: dict[int, int]

    def attempt_at(self, step: int) -> int:
        """Return the valid attempt at a step."""
        return max((number for number, begin in self.begins.items() if step > begin), default=1)

    def has_reached(self, step: int) -> bool:
        """Return whether stored files of a step may belong to the valid attempt at that step."""
        last = self.rows[-1]["step"] if self.rows else 0
        return step <= last or max(self.begins, default=1) == 1


def read_course(store: Store, attempt: str, back_to: Mapping[int, int] | None = None) -> Course:
    """Return the logged rows of an attempt's folder; repeated steps after a resume replace earlier rows.

    Args:
        store: store of the training.
        attempt: folder of the training.
        back_to: steps that treatments went back to, by the attempt that follows.
    """
    parts = filter(None, (PART.fullmatch(name) for name in store.list(f"{attempt}/metrics")))
    begins: dict[int, int] = {}
    logged: dict[int, dict[int, Row]] = {}
    for number, first, name in sorted((int(part[3] or 1), int(part[1]), part[0]) for part in parts):
        begins.setdefault(number, first - 1)
        for step, row in _rows(store, f"{attempt}/metrics/{name}"):
            logged.setdefault(number, {})[step] = row
    begins |= back_to or {}
    rows, given_up = [], {}
    for number, by_step in sorted(logged.items()):
        end = min((begin for later, begin in begins.items() if later > number), default=math.inf)
        rows += [by_step[step] for step in sorted(by_step) if step <= end]
        if discarded := [by_step[step] for step in sorted(by_step) if step > end]:
            given_up[number] = discarded
    return Course(rows, given_up, begins)


def _rows(store: Store, rel: str) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a part by step, with numbers only."""
    try:
        lines = store.read_bytes(rel).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:  # listed, then replaced: the next build will see it
        return
    for line in lines:
        try:
            row = parsed(line)
        except (ValueError, RecursionError):  # torn: the writer was interrupted
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row["step"], {name: value for name, value in row.items() if isinstance(value, int | float)}


def is_term(name: str) -> bool:
    """Return whether a column belongs to the curves of training."""
    measured = name.startswith((VITAL, SNAPSHOT))
    has_other_plot = measured or BY_NOISE.fullmatch(name) or BY_LATENT.fullmatch(name)
    return name == "lr" or ("/" in name and not has_other_plot)


def is_vital(name: str) -> bool:
    """Return whether a column is a health metric."""
    return name.startswith(VITAL)


@dataclass(frozen=True)
class Curves:
    """Columns of the rows by name; a point is the mean of `every` rows."""

    every: int
    step: list[float]
    seconds: list[float | None]
    series: dict[str, list[float | None]]


def curves(rows: Sequence[Row], most: int = MAX_POINTS, wanted: Callable[[str], bool] = is_term) -> Curves:
    """Return the columns that `wanted` accepts, each with at most `most` points."""
    every = max(1, math.ceil(len(rows) / most))
    buckets = [rows[i : i + every] for i in range(0, len(rows), every)]
    names = dict.fromkeys(name for row in rows for name in row if wanted(name))
    return Curves(
        every,
        [bucket[-1]["step"] for bucket in buckets],
        [as_number(bucket[-1].get("seconds")) for bucket in buckets],
        {name: [_mean(bucket, name) for bucket in buckets] for name in names},
    )


@dataclass(frozen=True)
class NoiseProfile:
    """The loss of a phase by share of noise, in [0, 1], of each bucket: its mean and standard deviation."""

    phase: str
    noise: list[float | None]
    loss: list[float | None]
    deviation: list[float | None]
    steps: list[float]  # the first and the last step of the mean


def loss_by_noise(rows: Sequence[Row]) -> list[NoiseProfile]:
    """Return the loss of each phase by share of noise, at the end of training."""
    buckets: dict[str, set[int]] = {}
    for match in map(BY_NOISE.fullmatch, dict.fromkeys(name for row in rows for name in row)):
        if match:
            buckets.setdefault(match[1], set()).add(int(match[3]))
    return [_by_bucket(rows, phase, sorted(numbers)) for phase, numbers in buckets.items()]


def _by_bucket(rows: Sequence[Row], phase: str, buckets: Sequence[int]) -> NoiseProfile:
    late = [row for row in rows if any(f"{phase}/loss_t{k}" in row for k in buckets)]
    late = late[-max(1, len(late) // LATE) :]
    variance = [_mean(late, f"{phase}/var_t{k}") for k in buckets]
    return NoiseProfile(
        phase,
        [_mean(late, f"{phase}/noise_t{k}") for k in buckets],
        [_mean(late, f"{phase}/loss_t{k}") for k in buckets],
        [None if v is None else rounded(math.sqrt(max(v, 0.0))) for v in variance],
        [late[0]["step"], late[-1]["step"]] if late else [],
    )


@dataclass(frozen=True)
class Dimension:
    """The KL of a dimension of the code over training."""

    z: int
    kl: list[float | None]


@dataclass(frozen=True)
class LatentCourse:
    """The KL of each dimension of the code in a phase, at each step; the highest at the end first."""

    phase: str
    step: list[float]
    dimensions: list[Dimension]


def kl_by_latent(rows: Sequence[Row]) -> list[LatentCourse]:
    """Return the KL of each dimension of the code over training, by phase."""
    course = curves(rows, MOMENTS, lambda name: BY_LATENT.fullmatch(name) is not None)
    phases: dict[str, list[Dimension]] = {}
    for name, values in course.series.items():
        if match := BY_LATENT.fullmatch(name):
            phases.setdefault(match[1], []).append(Dimension(int(match[2]), values))
    return [
        LatentCourse(phase, course.step, sorted(dimensions, key=lambda dimension: -(dimension.kl[-1] or 0.0)))
        for phase, dimensions in phases.items()
    ]


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [row[name] for row in rows if name in row and math.isfinite(row[name])]
    return rounded(sum(values) / len(values)) if values else None


def rounded(value: Any) -> Any:
    """Return a number rounded to five digits, more than any page shows."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
