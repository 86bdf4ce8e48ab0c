"""What other settings of sampling do to a family's images, for the page: plots, numbers, pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.report import board, text
from components.report.measures import PERCENT, measure, summary
from components.report.reading import copy, read_json, rounded
from components.storage import Store

PLOTTED = ("fid", "frechet_distance", "rfid", "r_frechet_distance", "label_accuracy")
POINT = re.compile(r"(?:(.*\S)\s+)?(-?\d+(?:\.\d+)?)")  # "ddim 4": a point of the line ddim
WIDE = 8  # from the smallest x to the largest: beyond, a logarithmic axis
TILE = 56  # pixels of an image on the page, about
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

Object = Mapping[str, Any]


def of_family(
    store: Store, attempt: str | None, *, resolution: Any, report: str, stem: str
) -> dict[str, Any] | None:
    """What the page shows of a family's studies; None where there are none.

    Args:
        store: where the studies and the page are.
        attempt: the stage's folder.
        resolution: pixels along a side of an image.
        report: the page's folder, where pictures are copied to.
        stem: beginning of their names.
    """
    told = _object(read_json(store, f"{attempt}/result.json").get("studied")) if attempt else {}
    studies = [_object(study) for study in _list(told.get("studies"))]
    if not studies:
        return None
    side = resolution if isinstance(resolution, int) and resolution > 0 else 0

    def picture(path: Any, rows: int, columns: int) -> dict[str, Any] | None:
        """A picture beside the page, with its size on it, so that nothing moves when it comes."""
        target = f"samples/{stem}-{text.slug(str(path).removesuffix('.webp'))}.webp"
        known = isinstance(path, str) and re.fullmatch(r"[\w-]+\.webp", path)
        if not known or not copy(store, f"{attempt}/{path}", f"{report}/{target}"):
            return None
        tile = side * max(1, round(TILE / side)) if side else TILE
        return {"src": target, "width": columns * tile, "height": rows * tile}

    return {
        "n": told.get("n"),
        "studies": [_study(study, picture) for study in studies],
        "ways": [
            {"title": WAYS[way][0], "meaning": WAYS[way][1], **shown}
            for way, how in _object(told.get("ways")).items()
            if way in WAYS and (shown := _way(_object(how), picture))
        ],
    }


def _way(how: Object, picture: Any) -> dict[str, Any] | None:
    rows, columns = how.get("rows"), how.get("columns")
    return (
        picture(how.get("path"), rows, columns)
        if isinstance(rows, int) and isinstance(columns, int)
        else None
    )


def _study(study: Object, picture: Any) -> dict[str, Any]:
    variants = [_object(variant) for variant in _list(study.get("variants"))]
    return {
        "name": str(study.get("name") or ""),
        "title": str(study.get("title") or study.get("name") or ""),
        "plots": plots(str(study.get("name") or ""), variants),
        "table": table(variants),
        "sheets": [
            {"name": str(variant.get("name")), **shown}
            for variant in variants
            if (shown := picture(variant.get("sheet"), 1, 10))
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


def _plot(name: str, metric: str, points: Sequence[tuple[tuple[str, float], Object]]) -> dict[str, Any]:
    shown, first = measure(metric), points[0][1]
    times = 100 if shown.percent else 1
    lines = dict.fromkeys(line for (line, _), _ in points)
    xs = [x for (_, x), _ in points]
    floor = first.get("floor")
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
                "points": sorted([x, rounded(times * m["value"])] for (own, x), m in points if own == line),
            }
            for line in lines
        ],
    }


def _metrics(variant: Object) -> dict[str, Object]:
    """The metrics of a variant that have a value."""
    metrics = {name: _object(metric) for name, metric in _object(variant.get("metrics")).items()}
    return {name: m for name, m in metrics.items() if _is_number(m.get("value"))}


# Numbers


def table(variants: Sequence[Object]) -> dict[str, Any]:
    """The main measures of every variant, and the seconds that an image takes."""
    rows = [(variant, _metrics(variant)) for variant in variants]
    names = [
        name
        for name in board.metric_names([{"metrics": metrics} for _, metrics in rows])
        if measure(name).main and name not in ("memorised", "class_kid")
    ]
    known = {name: next(metrics[name] for _, metrics in rows if name in metrics) for name in names}
    return {
        "columns": [_column(name, metric) for name, metric in known.items()],
        "rows": [
            {
                "name": str(variant.get("name")),
                "cells": [_cell(name, metrics.get(name)) for name in names],
                "seconds": text.short(variant.get("seconds_per_image")),
            }
            for variant, metrics in rows
        ],
        "recipe": summary(next(iter(known.values()), None)),
    }


def _column(name: str, metric: Object) -> dict[str, Any]:
    shown, floor = measure(name, metric), metric.get("floor")
    return {
        "label": shown.label,
        "better": shown.better,
        "meaning": shown.meaning,
        "floor": "" if floor is None else f"{shown.bound} {shown.show_limit(floor)}",
        "note": str(metric.get("note") or ""),
    }


def _cell(name: str, metric: Object | None) -> dict[str, str]:
    shown = measure(name, metric)
    return {
        "text": shown.show((metric or {}).get("value")),
        "interval": shown.show_interval(metric or {}).removesuffix(PERCENT),
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _object(value: Any) -> Object:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
