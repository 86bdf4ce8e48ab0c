"""How pages read a store: JSON, images, the rows a training logged. What is missing or torn is left out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.finite import as_number
from components.common.finite import is_number as is_number
from components.records.analysis import PictureFile
from components.report import formatting
from components.store import Store

MAX_POINTS = 500  # of a curve: more than a screen can show
PART = re.compile(r"part-(\d+)-(\d+)(?:-a(\d+))?\.jsonl")
VITAL = "health/"  # columns that a doctor of training logs
# A bucket of times: mean and variance of a phase's loss there, and the mean share of noise.
BY_NOISE = re.compile(r"(.+)/(loss|var|noise)_t(\d+)")
BY_LATENT = re.compile(r"(.+)/kl_z(\d+)")  # a phase's KL of one dimension of the code, in nats
MOMENTS = 60  # of training, at which the KL of every dimension is shown
LATE = 10  # a bucket is shown as the mean over the last one in so many rows
TILE = 56  # pixels of an image on the page, about

Row = Mapping[str, int | float]
"""What a training logged after a step, by name."""

Object = Mapping[str, Any]


def as_object(value: Any) -> Object:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """`value` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def read_json(store: Store, rel: str) -> Mapping[str, Any]:
    """A JSON object in the store; empty if it is missing, torn or something else."""
    try:
        value = store.read_json(rel)
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):  # not of a store that is gone
        return {}
    return value if isinstance(value, dict) else {}


def copy(store: Store, source: str, target: str) -> bool:
    """Copy an image once: attempts are immutable and their key is in the name, so what is there is right."""
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
        store: where the stage and the page are.
        path: the folder.
        report: the page's folder, where pictures are copied to.
        stem: beginning of the copies' names.
    """

    store: Store
    path: str
    report: str
    stem: str

    def read_json(self, name: str) -> Mapping[str, Any]:
        """A JSON object in the folder; empty if it is missing, torn or something else."""
        return read_json(self.store, f"{self.path}/{name}")

    def copy(self, name: str, target: str) -> str | None:
        """Copy a picture beside the page; the path of the copy, None where there is no picture."""
        path = f"samples/{self.stem}-{target}"
        return path if copy(self.store, f"{self.path}/{name}", f"{self.report}/{path}") else None


@dataclass(frozen=True)
class Picture:
    """A picture and its size on the page, so that nothing moves when it is loaded."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The pictures of a stage, copied beside the page.

    Args:
        folder: the stage's.
        resolution: pixels along a side of an image, where known.
    """

    folder: AttemptFolder
    resolution: int | None

    def take(self, path: PictureFile, rows: int, columns: int) -> Picture | None:
        """A copy of a picture of images in rows and columns; None if it is missing."""
        target = self.folder.copy(path, f"{formatting.slug(path.removesuffix('.webp'))}.webp")
        return Picture(target, columns * self.tile, rows * self.tile) if target else None

    @property
    def tile(self) -> int:
        """Pixels of an image on the page: whole ones for each of its own."""
        side = self.resolution or TILE
        return side * max(1, round(TILE / side))


@dataclass(frozen=True)
class Course:
    """The rows of a training by step.

    A treatment goes back to an earlier step and begins another attempt: what was logged beyond that step
    before it was given up.

    Args:
        rows: what led to the weights as they are.
        given_up: the rows that did not, by attempt.
        begins: the step after which each attempt begins.
    """

    rows: list[Row]
    given_up: dict[int, list[Row]]
    begins: dict[int, int]

    def attempt_at(self, step: int) -> int:
        """The attempt that counts at a step."""
        return max((number for number, begin in self.begins.items() if step > begin), default=1)

    def has_reached(self, step: int) -> bool:
        """Whether what lies in the store for a step may be of the attempt that counts there."""
        last = self.rows[-1]["step"] if self.rows else 0
        return step <= last or max(self.begins, default=1) == 1


def read_course(store: Store, attempt: str, back_to: Mapping[int, int] | None = None) -> Course:
    """What an attempt's folder has logged; a replay after a resume wins over what it repeats.

    Args:
        store: where the training is.
        attempt: its folder.
        back_to: the steps that treatments say they went back to, by the attempt that follows.
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
        if lost := [by_step[step] for step in sorted(by_step) if step > end]:
            given_up[number] = lost
    return Course(rows, given_up, begins)


def _rows(store: Store, rel: str) -> Iterator[tuple[int, Row]]:
    """The rows of a part by step; what is no number is left out."""
    try:
        lines = store.read_bytes(rel).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:  # listed, then replaced: the next build will see it
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # torn: the writer was interrupted
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row["step"], {name: value for name, value in row.items() if isinstance(value, int | float)}


def is_term(name: str) -> bool:
    """Whether a column belongs to the curves of training."""
    apart = is_vital(name) or BY_NOISE.fullmatch(name) or BY_LATENT.fullmatch(name)
    return name == "lr" or ("/" in name and not apart)


def is_vital(name: str) -> bool:
    """Whether a column is a health metric."""
    return name.startswith(VITAL)


@dataclass(frozen=True)
class Curves:
    """Columns of the rows by name; a point is the mean of `every` rows."""

    every: int
    step: list[float]
    seconds: list[float | None]
    series: dict[str, list[float | None]]


def curves(rows: Sequence[Row], most: int = MAX_POINTS, wanted: Callable[[str], bool] = is_term) -> Curves:
    """The wanted columns of the rows, each of at most `most` points."""
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
    steps: list[float]  # the first and the last that it is the mean of


def loss_by_noise(rows: Sequence[Row]) -> list[NoiseProfile]:
    """The loss of each phase by share of noise, at the end of training."""
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
    """The course of the KL of a dimension of the code."""

    z: int
    kl: list[float | None]


@dataclass(frozen=True)
class LatentCourse:
    """The KL of each dimension of the code in a phase, at each step; the highest at the end first."""

    phase: str
    step: list[float]
    dimensions: list[Dimension]


def kl_by_latent(rows: Sequence[Row]) -> list[LatentCourse]:
    """The course of the KL of each dimension of the code, by phase."""
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
    """A number to five digits: more than any page shows."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
