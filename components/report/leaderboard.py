"""Who is best: the leaderboard, what may be compared with what, and the verdict. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluation.comparability import difference
from components.families.tasks import DEFAULT, TASKS
from components.report import formatting
from components.report.metric_labels import MEASURES, PERCENT, limit, main, measure, recipe, summary

Result = Mapping[str, Any]


COSTS = {
    "parameters": ("Parameters", "Trainable numbers in the exported generator.", formatting.count),
    "train_seconds": ("Training", "Seconds of training, by the clock.", formatting.duration),
    "samples_per_second": ("Samples/s", "Images drawn per second on this machine.", formatting.number),
}


def value_of(result: Result, name: str) -> Any:
    """The value of a metric in a result, or None."""
    return ((result.get("metrics") or {}).get(name) or {}).get("value")


def metric_names(results: Sequence[Result]) -> list[str]:
    """The metrics that any of `results` carries, the one to rank by first; those with a warning last."""
    names = {name for result in results for name in result.get("metrics") or {}}
    known = [name for name in MEASURES if name in names] + sorted(names - set(MEASURES))
    last = warned(results)
    return sorted(known, key=lambda name: name in last)


def warned(results: Sequence[Result]) -> set[str]:
    """The metrics that any of `results` carries with a warning."""
    found = [item for result in results for item in (result.get("metrics") or {}).items()]
    return {name for name, metric in found if metric.get("note")}


def yardstick(metrics: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The metric the others are compared with: of the recipe most share, the first at a tie."""
    if not metrics:
        return None
    most, _ = Counter(m.get("comparability") for m in metrics).most_common(1)[0]
    return next(m for m in metrics if m.get("comparability") == most)


def by_task(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each task, in the order of the page."""
    tasks = dict.fromkeys([*TASKS, *(r.get("task") or DEFAULT for r in results)])
    found = {task: [r for r in results if (r.get("task") or DEFAULT) == task] for task in tasks}
    return {task: rows for task, rows in found.items() if rows}


def title(task: str) -> str:
    """A task as a heading."""
    return TASKS[task].title if task in TASKS else str(task).capitalize()


def groups(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A leaderboard per task: its columns, and per family a cell for each."""
    return [_group(task, rows) for task, rows in by_task(results).items()]


def _group(task: str, results: Sequence[Result]) -> dict[str, Any]:
    names = metric_names(results)
    metrics = {n: [r["metrics"][n] for r in results if value_of(r, n) is not None] for n in names}
    references = {n: yardstick(metrics[n]) for n in names}
    leaders = {n: _best(results, n, references[n]) for n in names}
    calm = main(names, warned(results))
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
    columns = [{**_column(n, references[n]), "main": n in calm} for n in names]
    said, _ = Counter(column["recipe"] for column in columns).most_common(1)[0] if columns else ("", 0)
    return {
        "task": task,
        "title": title(task),
        "meaning": TASKS[task].description if task in TASKS else "",
        "columns": columns,
        "recipe": said,  # of most columns
        "costs": list(COSTS.values()),
        "rows": rows,
        "refused": [refusal for row in rows for refusal in _refusals(row, columns)],
    }


def _refusals(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What of a family may not be compared, one sentence for each reason."""
    labels: dict[str, list[str]] = {}
    for cell, column in zip(row["cells"], columns, strict=True):
        if cell.get("why_not"):
            labels.setdefault(cell["why_not"], []).append(column["label"])
    return [
        {
            "family": row["family"],
            "sentence": f"{formatting.listing(which)} {'is' if len(which) == 1 else 'are'} not comparable "
            f"with the others: {why}.",
        }
        for why, which in labels.items()
    ]


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
        "bound": shown.bound,
        "recipe": summary(reference),
        "limit": limit(shown, reference),
        "note": (reference or {}).get("note"),
    }


def _cell(result: Result, name: str, reference: Mapping[str, Any] | None, leader: Any) -> dict[str, Any]:
    metric = (result.get("metrics") or {}).get(name)
    if not metric or metric.get("value") is None or reference is None:
        return {"text": formatting.NONE, "sort": None}
    shown, why = measure(name, metric), difference(metric, reference)
    floor = shown.show_limit(metric["floor"]) if metric.get("floor") is not None else ""
    interval = shown.show_interval(metric)
    lines = [
        ("interval", interval),
        (shown.bound, floor),
        *recipe(metric),
        ("beware", metric.get("note")),
    ]
    return {
        "text": shown.show(metric["value"]),
        "sort": metric["value"],
        "interval": interval.removesuffix(PERCENT),  # it stands below the value, which has the unit
        "floor": floor,
        "bound": shown.bound,
        "detail": [(k, v) for k, v in lines if v],
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
        opening = f"{done} of {total} families finished; {formatting.listing(list(failed))} failed."
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
    bound = f" ({first['bound']} {first['floor']})" if first["floor"] else ""
    reached = f"{group['columns'][0]['label']} {first['text']}{bound}"
    if len(fair) == 1:
        return f"{group['title']}: {name} reaches {reached}."
    second = f"{fair[1]['family']} with {fair[1]['cells'][0]['text']}"
    return f"{group['title']}: {name} leads with {reached}, ahead of {second}."
