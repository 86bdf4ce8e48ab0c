"""How pages read a store: JSON, images, the rows a training logged. What is missing or torn is left out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

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

Row = dict[str, Any]
Object = Mapping[str, Any]


def as_object(value: Any) -> Object:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """`value` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_json(store: Store, rel: str) -> dict[str, Any]:
    """A JSON object in the store; empty if it is missing, torn or something else."""
    try:
        value = store.read_json(rel)
    except (
        FileNotFoundError,
        json.JSONDecodeError,
        UnicodeDecodeError,
    ):  # a store that is gone must be heard
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
class Picture:
    """A picture and its size on the page, so that nothing moves when it is loaded."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The pictures of a stage, copied beside the page.

    Args:
        store: where the stage and the page are.
        attempt: the stage's folder.
        report: the page's folder.
        stem: beginning of the copies' names.
        resolution: pixels along a side of an image, where known.
    """

    store: Store
    attempt: str
    report: str
    stem: str
    resolution: Any

    def take(self, path: PictureFile, rows: int, columns: int) -> Picture | None:
        """A copy of a picture of images in rows and columns; None if it is missing."""
        target = f"samples/{self.stem}-{formatting.slug(path.removesuffix('.webp'))}.webp"
        if not copy(self.store, f"{self.attempt}/{path}", f"{self.report}/{target}"):
            return None
        return Picture(target, columns * self.tile, rows * self.tile)

    @property
    def tile(self) -> int:
        """Pixels of an image on the page: whole ones for each of its own."""
        side = self.resolution if isinstance(self.resolution, int) and self.resolution > 0 else TILE
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
    found = filter(None, (PART.fullmatch(name) for name in store.list(f"{attempt}/metrics")))
    begins: dict[int, int] = {}
    logged: dict[int, dict[int, Row]] = {}
    for number, first, name in sorted((int(part[3] or 1), int(part[1]), part[0]) for part in found):
        begins.setdefault(number, first - 1)
        for row in _lines(store, f"{attempt}/metrics/{name}"):
            logged.setdefault(number, {})[row["step"]] = row
    begins |= back_to or {}
    rows, given_up = [], {}
    for number, by_step in sorted(logged.items()):
        end = min((begin for later, begin in begins.items() if later > number), default=math.inf)
        rows += [by_step[step] for step in sorted(by_step) if step <= end]
        if lost := [by_step[step] for step in sorted(by_step) if step > end]:
            given_up[number] = lost
    return Course(rows, given_up, begins)


def _lines(store: Store, rel: str) -> Iterator[Row]:
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
            yield row


def is_term(name: str) -> bool:
    """Whether a column belongs to the curves of training."""
    apart = is_vital(name) or BY_NOISE.fullmatch(name) or BY_LATENT.fullmatch(name)
    return name == "lr" or ("/" in name and not apart)


def is_vital(name: str) -> bool:
    """Whether a column is what a doctor of training looked at."""
    return name.startswith(VITAL)


def curves(
    rows: Sequence[Row], most: int = MAX_POINTS, wanted: Callable[[str], bool] = is_term
) -> dict[str, Any]:
    """The wanted columns of the rows, each of at most `most` points; a point is the mean of `every` rows."""
    every = max(1, math.ceil(len(rows) / most))
    buckets = [rows[i : i + every] for i in range(0, len(rows), every)]
    names = dict.fromkeys(name for row in rows for name in row if wanted(name))
    return {
        "every": every,
        "step": [bucket[-1]["step"] for bucket in buckets],
        "seconds": [bucket[-1].get("seconds") for bucket in buckets],
        "series": {name: [_mean(bucket, name) for bucket in buckets] for name in names},
    }


def loss_by_noise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The loss of each phase by share of noise, at the end of training.

    Returns: by phase, the share in [0, 1] of each bucket, the loss's mean there, and its standard deviation.
    """
    found = [
        match for name in dict.fromkeys(n for row in rows for n in row) if (match := BY_NOISE.fullmatch(name))
    ]
    phases = dict.fromkeys(match[1] for match in found)
    return [{"phase": phase, **_by_bucket(rows, phase, found)} for phase in phases]


def _by_bucket(rows: Sequence[Row], phase: str, found: Sequence[re.Match[str]]) -> dict[str, Any]:
    buckets = sorted({int(match[3]) for match in found if match[1] == phase})
    late = [row for row in rows if any(f"{phase}/loss_t{k}" in row for k in buckets)]
    late = late[-max(1, len(late) // LATE) :]
    variance = [_mean(late, f"{phase}/var_t{k}") for k in buckets]
    return {
        "noise": [_mean(late, f"{phase}/noise_t{k}") for k in buckets],
        "loss": [_mean(late, f"{phase}/loss_t{k}") for k in buckets],
        "deviation": [None if v is None else rounded(math.sqrt(max(v, 0.0))) for v in variance],
        "steps": [late[0]["step"], late[-1]["step"]] if late else [],
    }


def kl_by_latent(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The course of the KL of each dimension of the code, by phase.

    Returns: by phase, the steps, and the dimensions with their KL at each, the highest at the end first.
    """
    course = curves(rows, MOMENTS, lambda name: BY_LATENT.fullmatch(name) is not None)
    found = [match for match in map(BY_LATENT.fullmatch, course["series"]) if match]
    return [
        {"phase": phase, "step": course["step"], "dimensions": _by_height(course["series"], found, phase)}
        for phase in dict.fromkeys(match[1] for match in found)
    ]


def _by_height(
    series: Mapping[str, list[float | None]], found: Sequence[re.Match[str]], phase: str
) -> list[dict[str, Any]]:
    dimensions = [{"z": int(match[2]), "kl": series[match[0]]} for match in found if match[1] == phase]
    return sorted(dimensions, key=lambda dimension: -(dimension["kl"][-1] or 0.0))


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [
        row[name] for row in rows if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]
    return rounded(sum(values) / len(values)) if values else None


def rounded(value: Any) -> Any:
    """A number to five digits: more than any page shows."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
