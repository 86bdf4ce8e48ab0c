"""What other settings of sampling do to a family's images, for the page: plots, numbers, pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components.records.evaluation import JudgedMetric, Metrics, metrics_of
from components.report import formatting, leaderboard
from components.report.metric_labels import PERCENT, measure, summary
from components.report.reading import Object, Pictures, as_list, as_object, rounded

PLOTTED = ("fid", "frechet_distance", "rfid", "r_frechet_distance", "label_accuracy")
POINT = re.compile(r"(?:(.*\S)\s+)?(-?\d+(?:\.\d+)?)")  # "ddim 4": a point of the line ddim
WIDE = 8  # from the smallest x to the largest: beyond, a logarithmic axis
WAYS = {
    "reverse": (
        "From noise to images",
        "One seed a line, from left to right through sampling; the last column is the sample.",
    ),
    "forward": (
        "From images to noise",
        "One test image a line, and what training mixes it with: from left to right more noise.",
    ),
}


def of_family(result: Object, pictures: Pictures) -> dict[str, Any] | None:
    """What the page shows of a family's studies, from the stage's result; None where there are none."""
    told = as_object(result.get("studied"))
    studies = [as_object(study) for study in as_list(told.get("studies"))]
    if not studies:
        return None
    return {
        "n": told.get("n"),
        "studies": [_study(study, pictures) for study in studies],
        "ways": [
            {"title": WAYS[way][0], "meaning": WAYS[way][1], **shown}
            for way, how in as_object(told.get("ways")).items()
            if way in WAYS and (shown := _way(as_object(how), pictures))
        ],
    }


def _way(how: Object, pictures: Pictures) -> dict[str, Any] | None:
    return pictures.take(how.get("path"), how.get("rows"), how.get("columns"))


def _study(study: Object, pictures: Pictures) -> dict[str, Any]:
    variants = [as_object(variant) for variant in as_list(study.get("variants"))]
    return {
        "name": str(study.get("name") or ""),
        "title": str(study.get("title") or study.get("name") or ""),
        "plots": plots(str(study.get("name") or ""), variants),
        "table": table(variants),
        "sheets": [
            {"name": str(variant.get("name")), **shown}
            for variant in variants
            if (shown := pictures.take(variant.get("sheet"), 1, 10))
        ],
    }


# Plots


def plots(name: str, variants: Sequence[Object]) -> list[dict[str, Any]]:
    """A plot for each measure worth one: quality against what the study changes, a line for each kind."""
    points = [(point(str(variant.get("name"))), _metrics(variant)) for variant in variants]
    shown = [metric for metric in PLOTTED if any(metric in metrics for at, metrics in points if at)]
    return [
        _plot(name, metric, [(at, m[metric]) for at, m in points if at and metric in m]) for metric in shown
    ]


def point(name: str) -> tuple[str, float] | None:
    """The line and the x that a variant's name says: "ddim 4", or "1.5"; None where it says none."""
    found = POINT.fullmatch(name.strip())
    return (found[1] or "", float(found[2])) if found else None


def _plot(name: str, metric: str, points: Sequence[tuple[tuple[str, float], JudgedMetric]]) -> dict[str, Any]:
    shown, first = measure(metric), points[0][1]
    times = 100 if shown.percent else 1
    lines = dict.fromkeys(line for (line, _), _ in points)
    xs = [x for (_, x), _ in points]
    floor = first.floor
    return {
        "title": f"{shown.label}{f',{PERCENT}' if shown.percent else ''}",
        "better": shown.better,
        "bound": shown.bound,
        "floor": None if floor is None else rounded(times * floor),
        "x": name,
        "log": min(xs) > 0 and max(xs) / min(xs) >= WIDE,
        "lines": [
            {
                "name": line,
                "points": sorted([x, rounded(times * m.value)] for (own, x), m in points if own == line),
            }
            for line in lines
        ],
    }


def _metrics(variant: Object) -> Metrics:
    """The metrics of a variant."""
    return metrics_of(as_object(variant.get("metrics")))


# Numbers


def table(variants: Sequence[Object]) -> dict[str, Any]:
    """The main measures of every variant, and the seconds that an image takes."""
    rows = [(variant, _metrics(variant)) for variant in variants]
    names = [
        name
        for name in leaderboard.metric_names([metrics for _, metrics in rows])
        if measure(name).main and name not in ("memorised", "class_kid")
    ]
    known = {name: next(metrics[name] for _, metrics in rows if name in metrics) for name in names}
    return {
        "columns": [_column(name, metric) for name, metric in known.items()],
        "rows": [
            {
                "name": str(variant.get("name")),
                "cells": [_cell(name, metrics.get(name)) for name in names],
                "seconds": formatting.short(variant.get("seconds_per_image")),
            }
            for variant, metrics in rows
        ],
        "recipe": summary(next(iter(known.values()), None)),
    }


def _column(name: str, metric: JudgedMetric) -> dict[str, Any]:
    shown, floor = measure(name, metric), metric.floor
    return {
        "label": shown.label,
        "better": shown.better,
        "meaning": shown.meaning,
        "floor": "" if floor is None else f"{shown.bound} {shown.show_limit(floor)}",
        "note": metric.note or "",
    }


def _cell(name: str, metric: JudgedMetric | None) -> dict[str, str]:
    shown = measure(name, metric)
    if metric is None:
        return {"text": shown.show(None), "interval": ""}
    interval = shown.show_interval(metric.low, metric.high).removesuffix(PERCENT)
    return {"text": shown.show(metric.value), "interval": interval}
