"""Who is best: the leaderboard, what may be compared with what, and the verdict. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.report import text

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """How a metric is named and explained."""

    label: str
    meaning: str
    better: str = "lower"
    percent: bool = False
    limit: str = "what real images score against real images"

    def show(self, value: Any) -> str:
        """`value` as it stands in a table."""
        if value is None:
            return text.NONE
        return f"{value * 100:.1f} %" if self.percent else text.number(value)

    def show_limit(self, value: Any) -> str:
        """A floor: as short as it goes, since it stands beside every number."""
        return self.show(value) if self.percent else text.short(value)


PERFECT = "what a perfect reconstruction scores"
MEASURES = {
    "fid": Measure("FID", "Fréchet distance of Inception features between samples and test images."),
    "frechet_distance": Measure(
        "Fréchet distance", "Distance between the feature distributions of samples and test images."
    ),
    "kid": Measure(
        "KID", "Kernel distance between features of samples and test images; unbiased at small n."
    ),
    "label_accuracy": Measure(
        "Label accuracy",
        "Share of samples that the classifier takes for the class asked for.",
        "higher",
        percent=True,
        limit="what real images reach",
    ),
    "rfid": Measure("rFID", "FID between reconstructions and test images.", limit=PERFECT),
    "r_frechet_distance": Measure(
        "Fréchet distance",
        "Distance between the feature distributions of reconstructions and test images.",
        limit=PERFECT,
    ),
    "r_kid": Measure(
        "KID",
        "Kernel distance between features of reconstructions and test images.",
        limit=PERFECT,
    ),
    "mse": Measure(
        "MSE", "Mean squared error per pixel between test images and their reconstructions.", limit=PERFECT
    ),
    "psnr": Measure("PSNR (dB)", "Peak signal-to-noise ratio of the reconstructions.", "higher"),
}
COSTS = {
    "parameters": ("Parameters", "Trainable numbers in the exported generator.", text.count),
    "train_seconds": ("Training", "Seconds of training, by the clock.", text.duration),
    "samples_per_second": ("Samples/s", "Images drawn per second on this machine.", text.number),
}
TASKS = {
    "generate": (
        "Generating",
        "Images from noise (and a label, where the family takes one), judged as a set.",
    ),
    "reconstruct": (
        "Reconstructing",
        "Test images encoded and decoded again; a different task, so never ranked with generators.",
    ),
    "translate": ("Translating", "Images turned from one domain into another."),
    "upscale": ("Upscaling", "Small images made large."),
}


def measure(name: str, metric: Mapping[str, Any] | None = None) -> Measure:
    """The measure called `name`; an unknown one takes its name and direction from the metric itself."""
    better = (metric or {}).get("better", "lower")
    return MEASURES.get(name) or Measure(name.replace("_", " ").capitalize(), "", better)


def value_of(result: Result, name: str) -> Any:
    """The value of a metric in a result, or None."""
    return ((result.get("metrics") or {}).get(name) or {}).get("value")


def metric_names(results: Sequence[Result]) -> list[str]:
    """The metrics that any of `results` carries, the one to rank by first; those with a warning last."""
    found = [(name, metric) for result in results for name, metric in (result.get("metrics") or {}).items()]
    warned = {name for name, metric in found if metric.get("note")}
    names = {name for name, _ in found}
    known = [name for name in MEASURES if name in names] + sorted(names - set(MEASURES))
    return sorted(known, key=lambda name: name in warned)


def yardstick(metrics: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The metric the others are compared with: of the recipe most share, the first at a tie."""
    if not metrics:
        return None
    most, _ = Counter(m.get("comparability") for m in metrics).most_common(1)[0]
    return next(m for m in metrics if m.get("comparability") == most)


def difference(metric: Mapping[str, Any], reference: Mapping[str, Any]) -> str | None:
    """Why `metric` may not be compared with `reference`; None if it may."""
    if metric.get("comparability") == reference.get("comparability"):
        return None
    named = {
        "extractor": "extractor",
        "extractor_hash": "weights of the extractor",
        "n": "number of images",
        "split": "split",
    }
    for key, name in named.items():
        if metric.get(key) != reference.get(key):
            shown = "" if key == "extractor_hash" else f" ({metric.get(key)}, not {reference.get(key)})"
            return f"different {name}{shown}"
    return "measured by a different recipe or against other data"


def groups(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A leaderboard per task: its columns, and per family a cell for each."""
    tasks = dict.fromkeys([*TASKS, *(r.get("task") or "generate" for r in results)])
    by_task = {task: [r for r in results if (r.get("task") or "generate") == task] for task in tasks}
    return [_group(task, rows) for task, rows in by_task.items() if rows]


def _group(task: str, results: Sequence[Result]) -> dict[str, Any]:
    names = metric_names(results)
    metrics = {n: [r["metrics"][n] for r in results if value_of(r, n) is not None] for n in names}
    references = {n: yardstick(metrics[n]) for n in names}
    leaders = {n: _best(results, n, references[n]) for n in names}
    rows = [
        {
            "family": result.get("family"),
            "paper": result.get("paper"),
            "cells": [_cell(result, n, references[n], leaders[n]) for n in names],
            "costs": [
                {"text": show(result.get(k)), "sort": result.get(k)} for k, (_, _, show) in COSTS.items()
            ],
        }
        for result in ranked(results, names, references)
    ]
    title, meaning = TASKS.get(task, (str(task).capitalize(), ""))
    columns = [_column(n, references[n]) for n in names]
    return {
        "task": task,
        "title": title,
        "meaning": meaning,
        "columns": columns,
        "costs": list(COSTS.values()),
        "rows": rows,
    }


def ranked(results: Sequence[Result], names: Sequence[str], references: Mapping[str, Any]) -> list[Result]:
    """`results`, best first by the first metric; those that cannot be compared, or have none, last."""

    def place(result: Result) -> tuple[int, float]:
        metric = (result.get("metrics") or {}).get(names[0]) if names else None
        if not metric or metric.get("value") is None:
            return 2, 0.0
        sign = -1 if measure(names[0], metric).better == "higher" else 1
        return int(difference(metric, references[names[0]]) is not None), sign * metric["value"]

    return sorted(results, key=place)


def _best(results: Sequence[Result], name: str, reference: Mapping[str, Any] | None) -> Any:
    """The best comparable value of a metric; None where there is nothing to be better than."""
    metrics = [r["metrics"][name] for r in results if value_of(r, name) is not None]
    values = [m["value"] for m in metrics if reference and difference(m, reference) is None]
    if len(values) < 2:
        return None
    return max(values) if measure(name, reference).better == "higher" else min(values)


def _column(name: str, reference: Mapping[str, Any] | None) -> dict[str, Any]:
    shown = measure(name, reference)
    return {
        "name": name,
        "label": shown.label,
        "better": shown.better,
        "meaning": shown.meaning,
        "recipe": recipe(shown, reference),
        "limit": limit(shown, reference),
        "note": (reference or {}).get("note"),
    }


def recipe(shown: Measure, metric: Mapping[str, Any] | None) -> str:
    """How a number was measured, in words: extractor, count, split."""
    if metric is None:
        return ""
    parts = [
        f"n = {text.number(metric['n'])}" if metric.get("n") else "",
        f"{metric['split']} split" if metric.get("split") else "",
    ]
    if metric.get("extractor"):
        digest = f" {str(metric['extractor_hash'])[:8]}" if metric.get("extractor_hash") else ""
        parts.insert(0, f"{metric['extractor']} features{digest}")
    return ", ".join(filter(None, parts))


def limit(shown: Measure, metric: Mapping[str, Any] | None) -> str:
    """The best that can be reached, in words."""
    if not metric or metric.get("floor") is None:
        return ""
    name = "Ceiling" if shown.better == "higher" else "Floor"
    return f"{name} {shown.show_limit(metric['floor'])}: {shown.limit}."


def _cell(result: Result, name: str, reference: Mapping[str, Any] | None, leader: Any) -> dict[str, Any]:
    metric = (result.get("metrics") or {}).get(name)
    if not metric or metric.get("value") is None or reference is None:
        return {"text": text.NONE, "sort": None}
    shown, why = measure(name, metric), difference(metric, reference)
    low, high = metric.get("low"), metric.get("high")
    floor = shown.show_limit(metric["floor"]) if metric.get("floor") is not None else ""
    interval = f"{shown.show(low)} to {shown.show(high)}" if low is not None and high is not None else ""
    return {
        "text": shown.show(metric["value"]),
        "sort": metric["value"],
        "interval": interval,
        "floor": floor,
        "detail": [
            (k, v)
            for k, v in (
                ("interval", interval),
                ("floor", floor),
                ("measured with", recipe(shown, metric)),
                ("beware", metric.get("note")),
            )
            if v
        ],
        "best": why is None and leader is not None and metric["value"] == leader,
        "why_not": why,
    }


def verdict(
    run: Mapping[str, Any], results: Sequence[Result], families: Sequence[str], failed: Sequence[str]
) -> str:
    """The outcome in a sentence or two: how many families made it, and who leads."""
    done, total = len({r.get("family") for r in results}), len(families)
    status = run.get("status")
    if status == "running":
        opening = f"Still running: {done} of {total} families judged so far."
    elif failed:
        opening = f"{done} of {total} families finished; {text.listing(list(failed))} failed."
    elif status in ("failed", "interrupted"):
        ended = "was interrupted" if status == "interrupted" else "failed"
        opening = f"The run {ended} with {done} of {total} families judged."
    else:
        opening = (
            f"All {total} families finished."
            if total > 1
            else "The family finished."
            if total
            else "Nothing was trained."
        )
    return " ".join([opening, *filter(None, (_leader(group) for group in groups(results)))])


def leaders(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The first of each task among those that may be compared: family, metric and value."""
    return [
        {
            "family": fair[0]["family"],
            "metric": group["columns"][0]["name"],
            "value": fair[0]["cells"][0]["sort"],
        }
        for group in groups(results)
        if (fair := _fair(group))
    ]


def _fair(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that the first metric may rank, best first."""
    rows = group["rows"] if group["columns"] else []
    return [r for r in rows if r["cells"][0].get("sort") is not None and not r["cells"][0].get("why_not")]


def _leader(group: Mapping[str, Any]) -> str:
    """Who leads a task by its first metric, and how far."""
    fair = _fair(group)
    if not fair:
        return ""
    first, name = fair[0]["cells"][0], fair[0]["family"]
    limit = f" (floor {first['floor']})" if first["floor"] else ""
    reached = f"{group['columns'][0]['label']} {first['text']}{limit}"
    if len(fair) == 1:
        return f"{group['title']}: {name} reaches {reached}."
    second = f"{fair[1]['family']} with {fair[1]['cells'][0]['text']}"
    return f"{group['title']}: {name} leads with {reached}, ahead of {second}."
