"""Ablations of a family's sampling settings for the page: plots, numbers, pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.ranking import DISTANCES, OTHERS, ranking_metric
from components.records import ablation as records
from components.records.ablation import AblationResult, Ablations, Variant
from components.records.evaluation import MetricResult
from components.report import formatting, leaderboard
from components.report.metric_labels import PERCENT, mark, measure, summary
from components.report.reading import Picture, Pictures, rounded

PLOTTED = ("conditional_accuracy",)  # beside the metric that ranks
POINT = re.compile(r"(?:(.*\S)\s+)?(-?\d+(?:\.\d+)?)")  # "ddim 4": a point of the line ddim
# A variant is worth setting where it has at most this part of the distance above real images that the
# family's own settings have. It is the best of many, on few images, so that a smaller lead may be chance. ...
PART = 0.5
# ... With few images real images are not at 0 either, and how far off they are is by chance (KID) or bias
# (Fréchet distance), so the lead has to be larger than this multiple of their value.
NOISE = 2
WIDE = 8  # ratio of the largest x to the smallest from which the axis is logarithmic
TRAJECTORIES = {
    "reverse": (
        "From noise to images",
        "One seed per row, from left to right through sampling; the last column is the sample.",
    ),
    "shifted": (
        "Shifted",
        "One seed per row; the generator's input moves from a quarter of a side to the left to as far to the "
        "right. Details that stay in place are glued to the pixels.",
    ),
    "rotated": (
        "Rotated",
        "One seed per row; the generator's input turns once around. A generator that is equivariant to "
        "rotation turns the image.",
    ),
    "forward": (
        "From images to noise",
        "One test image per row, mixed with noise as in training: more noise from left to right.",
    ),
}


@dataclass(frozen=True)
class Line:
    """Points (x, value) of a plot."""

    name: str
    points: list[list[float]]


@dataclass(frozen=True)
class Plot:
    """A metric against the setting that an ablation changes."""

    title: str
    better: str
    bound: str  # the name of `real_baseline`
    real_baseline: float | None
    x: str
    log: bool
    lines: list[Line]


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    label: str
    better: str
    meaning: str
    real_baseline: str
    note: str


@dataclass(frozen=True)
class Cell:
    """A formatted number."""

    text: str
    interval: str


@dataclass(frozen=True)
class Row:
    """The main metrics of a variant, and its seconds per image."""

    name: str
    cells: list[Cell]
    seconds: str


@dataclass(frozen=True)
class Table:
    """The numbers of an ablation, and how they were measured."""

    columns: list[Column]
    rows: list[Row]
    recipe: str


@dataclass(frozen=True)
class Sheet(Picture):
    """The first images of a variant."""

    name: str


@dataclass(frozen=True)
class Trajectory(Picture):
    """Intermediate images of sampling or noising."""

    title: str
    meaning: str


@dataclass(frozen=True)
class Ablation:
    """A comparison of sampling settings."""

    name: str
    title: str
    plots: list[Plot]
    table: Table
    sheets: list[Sheet]


@dataclass(frozen=True)
class FamilyAblations:
    """The ablations of a family, each variant measured on `n` images."""

    n: int | None
    studies: list[Ablation]
    ways: list[Trajectory]
    better: str  # settings that are clearly better than its own, as a sentence


def of_family(
    family: str, settings: Mapping[str, Any], result: Mapping[str, Any], pictures: Pictures
) -> FamilyAblations | None:
    """Return the ablations of a family from the stage's result; None if there are none."""
    record = AblationResult.read(result)
    if record is None or not record.studied.studies:
        return None
    studies = [_ablation(ablation, pictures) for ablation in record.studied.studies]
    better = better_settings(family, settings, record.studied)
    return FamilyAblations(record.studied.n, studies, _trajectories(record.studied, pictures), better)


def _trajectories(record: Ablations, pictures: Pictures) -> list[Trajectory]:
    copies = {way: pictures.take(sheet.path, sheet.rows, sheet.columns) for way, sheet in record.ways.items()}
    return [
        Trajectory(copy.src, copy.width, copy.height, *TRAJECTORIES[way])
        for way, copy in copies.items()
        if copy and way in TRAJECTORIES
    ]


def _ablation(record: records.Ablation, pictures: Pictures) -> Ablation:
    copies = [(v.name, pictures.take(v.sheet, 1, 10)) for v in record.variants if v.sheet]
    sheets = [Sheet(copy.src, copy.width, copy.height, name) for name, copy in copies if copy]
    variants = record.variants
    return Ablation(record.name, record.title, plots(record.name, variants), table(variants), sheets)


# Plots


def plots(name: str, variants: Sequence[Variant]) -> list[Plot]:
    """Return plots of the metric that ranks and of others, with a line per kind of variant."""
    points = [(at, variant.metrics) for variant in variants if (at := point(variant.name))]
    return [
        _plot(name, metric, [(at, metrics[metric]) for at, metrics in points if metric in metrics])
        for metric in (ranking_metric(metrics for _, metrics in points), *PLOTTED)
        if any(metric in metrics for _, metrics in points)
    ]


def point(name: str) -> tuple[str, float] | None:
    """Return line and x of a variant's name, such as "ddim 4" or "1.5"; None if it has none."""
    match = POINT.fullmatch(name.strip())
    return (match[1] or "", float(match[2])) if match else None


def _plot(name: str, metric: str, points: Sequence[tuple[tuple[str, float], MetricResult]]) -> Plot:
    definition, real_baseline = measure(metric), points[0][1].real_baseline
    scale = 100 if definition.percent else 1
    lines: dict[str, list[list[float]]] = {}
    for (line, x), number in points:
        lines.setdefault(line, []).append([x, rounded(scale * number.value)])
    xs = [x for (_, x), _ in points]
    return Plot(
        title=f"{definition.label}{f',{PERCENT}' if definition.percent else ''}",
        better=definition.better,
        bound=definition.bound,
        real_baseline=None if real_baseline is None else rounded(scale * real_baseline),
        x=name,
        log=min(xs) > 0 and max(xs) / min(xs) >= WIDE,
        lines=[Line(line, sorted(of_line)) for line, of_line in lines.items()],
    )


# Numbers


def table(variants: Sequence[Variant]) -> Table:
    """Return the main metrics of every variant, and its seconds per image."""
    names = [
        name
        for name in leaderboard.metric_names([variant.metrics for variant in variants])
        if measure(name).main and name not in ("memorization_rate", "class_kid")
    ]
    first = {name: next(v.metrics[name] for v in variants if name in v.metrics) for name in names}
    rows = [
        Row(
            variant.name,
            [_cell(name, variant.metrics.get(name)) for name in names],
            formatting.short(variant.seconds_per_image),
        )
        for variant in variants
    ]
    columns = [_column(name, metric) for name, metric in first.items()]
    return Table(columns, rows, summary(next(iter(first.values()), None)))


def _column(name: str, metric: MetricResult) -> Column:
    definition, real_baseline = measure(name, metric), metric.real_baseline
    limit = "" if real_baseline is None else f"{definition.bound} {definition.show_limit(real_baseline)}"
    return Column(definition.label, definition.better, definition.meaning, limit, metric.note or "")


def _cell(name: str, metric: MetricResult | None) -> Cell:
    definition = measure(name, metric)
    if metric is None:
        return Cell(formatting.NONE, "")
    return Cell(
        f"{definition.show(metric.value)}{mark(metric)}",
        definition.show_interval(metric.low, metric.high).removesuffix(PERCENT),
    )


# Settings that are better than the family's own


def better_settings(family: str, settings: Mapping[str, Any], studied: Ablations) -> str:
    """Return as a sentence which settings are clearly better than the family's own; empty if none are."""
    every = [variant for study in studied.studies for variant in study.variants]
    name = ranking_metric(variant.metrics for variant in every)
    usable = [v for v in every if name in v.metrics and v.change and v.change.keys() <= settings.keys()]
    if not usable:
        return ""
    own = min(usable, key=lambda variant: _distance(variant.change, settings))
    best = min(usable, key=lambda variant: variant.metrics[name].value)
    if not _is_clearly_better(best, own, name):
        return ""
    ours, others = best.metrics[name], own.metrics[name]
    definition = measure(name, ours)
    named = " ".join(f"families.{family}.{k}={v}" for k, v in best.change.items() if v != settings[k])
    whose = f"the settings of this run ({own.name})"
    if any(_distance(own.change, settings)):
        whose = f"{own.name}, the nearest variant, since none has the settings of this run"
    images = f" on {formatting.number(studied.n)} images each" if studied.n else ""
    real = ours.real_baseline
    bound = "" if real is None else f"; {definition.bound} {definition.show_limit(real)}"
    return (
        f"{family} has a {definition.label} of {definition.show(ours.value)} with {named}, but of "
        f"{definition.show(others.value)} with {whose}: the same weights{images}{bound}."
    )


def _is_clearly_better(best: Variant, own: Variant, name: str) -> bool:
    """Whether a variant is better than another by far more than few images vary."""
    ours, others = best.metrics[name], own.metrics[name]
    real = others.real_baseline or 0.0
    if ours.note or others.note or ours.value - real > PART * (others.value - real):
        return False
    if others.value - ours.value <= NOISE * abs(real):
        return False
    if ours.high is not None and others.low is not None and ours.high >= others.low:
        return False
    both = (best.metrics.keys() & own.metrics.keys()).intersection([*DISTANCES, *OTHERS])
    # Bias is the same for the same number of images, so that a doubtful distance has to agree as well.
    return all(best.metrics[distance].value < own.metrics[distance].value for distance in both)


def _distance(change: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[int, float]:
    """Return how many of the changed settings differ, and how far their numbers are apart."""
    pairs = [(value, settings[name]) for name, value in change.items() if value != settings[name]]
    numbers = [(a, b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)]
    apart = (abs(math.log(a / b)) if a > 0 and b > 0 else abs(a - b) for a, b in numbers)
    return len(pairs), sum(apart)
