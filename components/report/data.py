"""What the pages show, gathered from the store as plain values. What is missing or torn is left out."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from components.common.errors import InputError
from components.report import board, health, judged, studied, swept, text, used
from components.report.measures import MEASURES, measure
from components.report.reading import (
    Course,
    Object,
    Pictures,
    Row,
    as_list,
    as_object,
    copy,
    curves,
    kl_by_latent,
    loss_by_noise,
    read_course,
    read_json,
    rounded,
)
from components.store import Store

CURVED = ("kid", "frechet_distance", "fid", "mse", "mae")  # what snapshots are judged by through training
# Stages of a family that nothing else needs: it counts as finished where they failed.
BESIDE = ("ablation", "anomaly_models", "latent_analysis", "sweep", "confirmation")
GRID = re.compile(r"step-(\d+)\.webp")
STATES = {
    "ran": "computed in this run",
    "cached": "taken over from an earlier run",
    "running": "under way",
    "waiting": "not started",
    "failed": "stopped with an error",
    "skipped": "not needed, or could not start",
}
NUMBERS = ("value", "low", "high", "floor")  # of a judged metric
RECIPE = (
    "n",
    "extractor",
    "extractor_hash",
    "split",
    "better",
    "comparability",
)  # how it was measured, in short
COMPLEXITY = "Trainable numbers in the exported generator: what there is to fit, store and explain."
DEFINITIONS = {
    "complexity": COMPLEXITY,
    "parameters": COMPLEXITY,
    "stability": "How steadily the samples improved. Backslide: what was lost between snapshots over "
    "what was gained, 0 is steady. Kept: the share of the best improvement that was still there at the end.",
    "quality": "The distance between samples and test images from the leaderboard; lower is better.",
    "speed": "Images drawn per second, and seconds of training.",
}


def finite(value: Any) -> Any:
    """`value` with NaN and infinity, which JSON cannot say, as None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list | tuple) else value


def read_run(store: Store, run_id: str) -> dict[str, Any]:
    """The manifest of a run."""
    run = read_json(store, f"runs/{run_id}/run.json")
    if not run:
        raise InputError(f"there is no run {run_id!r} in this store, or its run.json cannot be read")
    return run


# The training of a family: curves and grids


def attempt_of(store: Store, stage: Mapping[str, Any]) -> str | None:
    """The folder of the attempt behind a stage: the manifest's, else the winner, else the newest."""
    uri = stage.get("uri")
    if not isinstance(uri, str):
        return None
    if "/attempts/" in uri:
        return uri
    present = store.list(f"{uri}/attempts")
    winner = read_json(store, f"{uri}/_SUCCESS").get("attempt")
    for name in (stage.get("attempt"), winner):
        if name is not None and str(name) in present:
            return f"{uri}/attempts/{name}"
    numbers = sorted(int(name) for name in present if name.isdigit())
    return f"{uri}/attempts/{numbers[-1]}" if numbers else None


def trained(store: Store, attempt: str) -> dict[str, Any]:
    """What an attempt at training says of itself: the stage's result, else the worker's note."""
    said = read_json(store, f"{attempt}/result.json") or read_json(store, f"{attempt}/trained.json")
    return said.get("trained") or said


def samples(
    store: Store, stage: Mapping[str, Any], attempt: str, course: Course, report: str
) -> dict[str, Any]:
    """The sample grids of an attempt, copied beside the page, with their steps and costs.

    Those of steps that a treatment went back behind stay away until they are drawn anew.
    """
    meta, stem = trained(store, attempt).get("samples") or {}, _stem(stage, attempt)
    grids = []
    for name in store.list(f"{attempt}/samples"):
        found = GRID.fullmatch(name)
        step = int(found[1]) if found else -1
        if not found or not course.has_reached(step):
            continue
        number = course.attempt_at(step)
        target = f"samples/{stem}{f'-a{number}' if number > 1 else ''}-{name}"
        if copy(store, f"{attempt}/samples/{name}", f"{report}/{target}"):
            grids.append({"step": step, "src": target, **_cost(course.rows, step)})
    shown = {key: meta.get(key) for key in ("columns", "count", "resolution", "channels", "labels", "titles")}
    for name, file in (("originals", "source.webp"), ("given", "given.webp")):
        if copy(store, f"{attempt}/samples/{file}", f"{report}/samples/{stem}-{file}"):
            shown[name] = f"samples/{stem}-{file}"
    return {**shown, "grids": sorted(grids, key=lambda grid: grid["step"])}


def _stem(stage: Mapping[str, Any], attempt: str) -> str:
    """The beginning of the names of an attempt's images beside the page."""
    family, key = (text.slug(str(stage.get(name))) for name in ("family", "key"))
    return f"{family}-{key[:8]}-{attempt.rsplit('/', 1)[-1]}"


def _cost(rows: Sequence[Row], step: int) -> dict[str, Any]:
    """Seconds and images by `step`, from the last row logged until then."""
    before = [row for row in rows if row["step"] <= step]
    return {key: before[-1].get(key) if before else 0 for key in ("seconds", "images")}


def real_images(store: Store, stages: Sequence[Mapping[str, Any]], report: str) -> dict[str, Any] | None:
    """The grid of real images that a stage names in its result.json under "real", if any does."""
    for stage in stages:
        attempt = attempt_of(store, stage)
        real = read_json(store, f"{attempt}/result.json").get("real") if attempt else None
        if isinstance(real, dict) and isinstance(real.get("path"), str):
            target = f"samples/real-{text.slug(str(stage.get('key')))[:8]}.webp"
            if copy(store, f"{attempt}/{real['path']}", f"{report}/{target}"):
                shown = {key: real.get(key) for key in ("columns", "count", "resolution", "labels")}
                return {**shown, "split": real.get("split", "test"), "src": target}
    return None


def originals(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a family reconstructs, as real images for the others: where no stage has left any."""
    for family in entries:
        shown = family["samples"]
        if shown.get("originals"):
            return {
                "src": shown["originals"],
                "split": "validation",
                **{k: shown[k] for k in ("count", "resolution")},
            }
    return None


def neighbours(store: Store, result: Mapping[str, Any], report: str) -> dict[str, Any] | None:
    """The published samples of a result and the training images nearest to them, copied beside the page."""
    near = result.get("neighbours")
    if not near:
        return None
    sources = {"published": result.get("samples"), "nearest": near.get("path")}
    copies = {}
    for name, source in sources.items():
        # A store's path holds a key, so one name stands for one image for good.
        copies[name] = f"samples/{name}-{hashlib.sha256(str(source).encode()).hexdigest()[:16]}.webp"
        if not isinstance(source, str) or not copy(store, source, f"{report}/{copies[name]}"):
            return None
    shown = {key: near.get(key) for key in ("columns", "count", "resolution", "closest")}
    pairs = {key: near.get(key) or [] for key in ("distances", "memorised")}
    return {**copies, **shown, **pairs, "share": _share(result)}


def _share(result: Mapping[str, Any]) -> str:
    """How much of a family's samples is memorised, in words; empty where that was not judged."""
    metric = (result.get("metrics") or {}).get("memorised")
    if not metric or metric.get("value") is None:
        return ""
    shown = measure("memorised", metric)
    interval, floor = shown.show_interval(metric), metric.get("floor")
    within = f" ({interval})" if interval else ""
    real = f"; of held-out real images {shown.show(floor)} come as close" if floor is not None else ""
    return f"{shown.show(metric['value'])}{within} of {text.number(metric.get('n'))} samples memorised{real}"


# The page of a run


def family_names(run: Mapping[str, Any]) -> list[str]:
    """The families of a run in the order of its configuration, then any others it met."""
    config = (run.get("lineage") or {}).get("config") or {}
    named = [stage.get("family") for stage in run.get("stages") or []]
    measured = [result.get("family") for result in run.get("results") or []]
    return [str(name) for name in dict.fromkeys([*(config.get("families") or {}), *named, *measured]) if name]


def results_of(store: Store, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results in the manifest, and those of families judged since it was last written."""
    results = [dict(result) for result in run.get("results") or [] if isinstance(result, dict)]
    have = {result.get("family") for result in results}
    for stage in run.get("stages") or []:
        family = stage.get("family")
        if (
            stage.get("name") == "evaluate"
            and family
            and family not in have
            and stage.get("state") in ("ran", "cached")
        ):
            attempt = attempt_of(store, stage)
            evaluated = read_json(store, f"{attempt}/result.json").get("evaluated") if attempt else None
            if isinstance(evaluated, dict) and evaluated.get("metrics"):
                results.append({**evaluated, "family": family})
    return results


def failures(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The failed stages, one sentence each."""
    failed = [stage for stage in run.get("stages") or [] if stage.get("state") == "failed"]
    return [
        {
            "family": s.get("family"),
            "stage": s.get("name"),
            "error": str(s.get("error") or "no reason was recorded").strip().split("\n")[0],
        }
        for s in failed
    ]


def families(
    store: Store, run: Mapping[str, Any], results: Sequence[Mapping[str, Any]], report: str
) -> list[dict[str, Any]]:
    """What each family leaves to look at: curves, grids, health, quality over time, and whether it failed."""
    # A training without a class serves the family's uses; it is not the family's own.
    own_stages = [s for s in run.get("stages") or [] if not s.get("without")]
    stages = {(s.get("name"), s.get("family")): s for s in own_stages}
    by_family = {r.get("family"): r for r in results}
    failed = {f["family"]: f["error"] for f in failures(run)}
    settings = ((run.get("lineage") or {}).get("config") or {}).get("families") or {}
    entries = []
    for name in family_names(run):
        stage, result = stages.get(("train", name), {}), by_family.get(name, {})
        shown = training_of(store, stage, settings.get(name) or {}, report)
        own, rows = shown.pop("own"), shown.pop("rows")
        guess = "reconstruct" if shown["samples"].get("originals") else "generate"
        entries.append(
            {
                "name": name,
                "task": result.get("task") or own.get("task") or guess,
                "state": stage.get("state", "waiting"),
                "error": failed.get(name),
                **shown,
                "quality": [_cost(rows, point.get("step", 0)) | point for point in result.get("curve") or []],
                "kept": judged.kept_step(result),
                "neighbours": neighbours(store, result, report),
                "studies": told(store, run, stages.get(("ablation", name), {}), report, studied.of_family),
                "uses": told(store, run, stages.get(("latent_analysis", name), {}), report, used.of_family),
            }
        )
    return entries


def told(
    store: Store,
    run: Mapping[str, Any],
    stage: Mapping[str, Any],
    report: str,
    read: Callable[[Object, Pictures], dict[str, Any] | None],
) -> dict[str, Any] | None:
    """What a stage after a family's training has to tell of it, as `read` makes it of the stage's result."""
    attempt = attempt_of(store, stage)
    if attempt is None:
        return None
    resolution = ((run.get("lineage") or {}).get("data") or {}).get("resolution")
    stem = f"{stage['name']}-{_stem(stage, attempt)}"
    result = read_json(store, f"{attempt}/result.json")
    return read(result, Pictures(store, attempt, report, stem, resolution))


def sweeps(store: Store, run: Mapping[str, Any], report: str) -> list[dict[str, Any]]:
    """What the sweeps of a run have found, or have found so far."""
    resolution = ((run.get("lineage") or {}).get("data") or {}).get("resolution")
    stages = [stage for stage in run.get("stages") or [] if isinstance(stage, dict)]
    duels = {
        s.get("family"): said(store, s, "result.json", "duel")
        for s in stages
        if s.get("name") == "confirmation"
    }
    found = []
    for stage in stages:
        if stage.get("name") != "sweep":
            continue
        told = said(store, stage, "result.json", "swept")
        running = not told and stage.get("state") in ("running", "waiting")
        told = told or said(store, stage, "progress.json", "swept")
        pictures = fetch(store, [as_object(t).get("picture") for t in as_list(told.get("trials"))], report)
        family, duel = str(stage.get("family") or ""), duels.get(stage.get("family"), {})
        found.append(swept.of_family(family, told, duel, running, pictures, resolution))
    return found


def said(store: Store, stage: Mapping[str, Any], file: str, name: str) -> Mapping[str, Any]:
    """What a stage's attempt has left in a file under a name; empty without."""
    attempt = attempt_of(store, stage)
    return as_object(read_json(store, f"{attempt}/{file}").get(name)) if attempt else {}


def fetch(store: Store, pictures: Sequence[Any], report: str) -> set[str]:
    """Copy pictures of trials beside the page; the names of those that are there."""
    wanted = {name: path for path in pictures if (name := swept.copies(path))}
    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        there = pool.map(lambda pair: copy(store, pair[1], f"{report}/{pair[0]}"), wanted.items())
        return {name for name, has in zip(wanted, there, strict=True) if has}


def training_of(
    store: Store, stage: Mapping[str, Any], settings: Mapping[str, Any], report: str
) -> dict[str, Any]:
    """What a family's training leaves: curves, grids and health, with the rows and its own note of itself."""
    attempt = attempt_of(store, stage)
    if attempt is None:
        nothing = {"own": {}, "rows": [], "curves": curves([]), "by_noise": [], "by_latent": []}
        return nothing | {"samples": {"grids": []}, "health": None}
    own = trained(store, attempt)
    events = health.read_events(store, attempt, own)
    course = read_course(store, attempt, health.back_to(events))
    return {
        "own": own,
        "rows": course.rows,
        "curves": curves(course.rows),
        "by_noise": loss_by_noise(course.rows),
        "by_latent": kl_by_latent(course.rows),
        "samples": samples(store, stage, attempt, course, report),
        "health": health.of_family(
            store,
            attempt,
            course,
            events,
            own=own,
            settings=settings,
            report=report,
            stem=_stem(stage, attempt),
        ),
    }


def builds_on(stage: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The other families whose trained models a family's stage builds on."""
    own, keys = stage.get("family"), stage.get("upstream") or []
    if not own:
        return []
    return [str(s["family"]) for s in stages if s.get("key") in keys and s.get("family") not in (None, own)]


def timeline(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages without what only the lineage needs."""
    keys = ("name", "family", "state", "started", "ended", "seconds", "work_seconds", "cached_from", "error")
    return [{key: stage.get(key) for key in keys} for stage in run.get("stages") or []]


def table(run: Mapping[str, Any]) -> dict[str, Any]:
    """The field's table: columns with definitions, rows of text."""
    rows = [row for row in run.get("table") or [] if isinstance(row, dict)]
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name != "family"]
    columns = [
        {"label": name.replace("_", " ").capitalize(), "meaning": DEFINITIONS.get(name, "")} for name in names
    ]
    return {
        "columns": columns,
        "rows": [
            {"family": row.get("family"), "cells": [_said(name, row.get(name)) for name in names]}
            for row in rows
        ],
    }


def _said(name: str, value: Any) -> list[str]:
    """A cell of the field's table as lines."""
    if isinstance(value, Mapping):
        labels = {key: MEASURES[key].label if key in MEASURES else key.replace("_", " ") for key in value}
        return [f"{labels[key]} {', '.join(_said(key, item))}" for key, item in value.items()]
    if isinstance(value, list):
        return [", ".join(text.short(item) for item in value)]
    return [text.count(value) if name in ("complexity", "parameters") else text.short(value)]


def run_page(store: Store, run_id: str) -> dict[str, Any]:
    """All that the page of a run shows. Copies the images it needs into the report's folder."""
    run = finite(read_run(store, run_id))
    report = f"runs/{run_id}/report"
    results = results_of(store, run)
    failed = failures(run)
    names = family_names(run)
    lineage = run.get("lineage") or {}
    entries = finite(families(store, run, results, report))
    swept_by = finite(sweeps(store, run, report))
    # A family has finished all the same where what comes after it failed.
    lost = dict.fromkeys(f["family"] for f in failed if f["family"] and f["stage"] not in BESIDE)
    return {
        "run": run,
        "run_id": run_id,
        "title": (lineage.get("data") or {}).get("title")
        or (lineage.get("data") or {}).get("name")
        or "Unnamed data",
        "verdict": " ".join(
            [sweep["verdict"] for sweep in swept_by]
            + ([board.verdict(run, results, names, list(lost))] if results or not swept_by else [])
        ),
        "sweeps": swept_by,
        "groups": board.groups(results),
        "checkpoints": judged.checkpoints(results),
        "classes": judged.classes(results),
        "neighbours": any(entry["neighbours"] for entry in entries),
        "health": [entry for entry in entries if entry["health"]],
        "studied": [entry for entry in entries if entry["studies"]],
        "used": [entry for entry in entries if entry["uses"]],
        # A sweep trains and judges its trials out of sight: only what its winner has is worth a section.
        "has": {
            "leaderboard": bool(results) or not swept_by,
            "samples": any(entry["samples"]["grids"] for entry in entries) or not swept_by,
            "comparison": bool(run.get("table")) or not swept_by,
            "training": any(entry["curves"]["step"] for entry in entries) or not swept_by,
        },
        "in_full": health.IN_FULL,
        "table": table(run),
        "failures": failed,
        "states": STATES,
        "config": yaml.safe_dump(lineage.get("config") or {}, sort_keys=False, allow_unicode=True),
        "inline": {
            "kind": "run",
            "started": run.get("started"),
            "until": run.get("ended") or run.get("heartbeat"),
            "resolution": (lineage.get("data") or {}).get("resolution"),
            "classes": (lineage.get("data") or {}).get("labels"),
            "families": entries,
            "sweeps": [sweep["drawn"] for sweep in swept_by],
            "real": real_images(store, run.get("stages") or [], report) or originals(entries),
            "stages": timeline(run),
            "states": STATES,
            "vitals": health.VITALS,
            "measures": {name: measure(name).label for name in CURVED},
        },
    }


# The index


def summary(run_id: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as a line of the index; one whose manifest cannot be read says so."""
    lineage = run.get("lineage") or {}
    data = lineage.get("data") or {}
    keep = ("family", "task", "parameters", "train_seconds", "samples_per_second")
    return {
        "run_id": run_id,
        "status": run.get("status") or "unreadable",
        "kind": "sweep" if any(s.get("name") == "sweep" for s in run.get("stages") or []) else "run",
        **{key: run.get(key) for key in ("started", "ended", "seconds", "smoke")},
        "data": {key: data.get(key) for key in ("name", "title", "version")},
        "commit": lineage.get("commit"),
        "dirty": lineage.get("dirty"),
        "config_hash": lineage.get("config_hash"),
        "families": family_names(run),
        "failed": list(dict.fromkeys(f["family"] for f in failures(run) if f["family"])),
        "results": [
            {**{key: result.get(key) for key in keep}, "metrics": _in_short(result.get("metrics") or {})}
            for result in run.get("results") or []
        ],
        "best": board.leaders(run.get("results") or []),
        "report": f"runs/{run_id}/report/index.html" if run.get("report") else None,
    }


def _in_short(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Metrics without their recipes and classes: the run's own page has those."""
    keys = (*NUMBERS, *RECIPE, "note")
    return {name: {key: metric.get(key) for key in keys} for name, metric in metrics.items()}


def index_page(store: Store) -> dict[str, Any]:
    """All runs, newest first."""
    ids = store.list("runs")
    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        runs = pool.map(lambda run_id: read_json(store, f"runs/{run_id}/run.json"), ids)
        lines = [finite(summary(run_id, run)) for run_id, run in zip(ids, runs, strict=True)]
    lines.sort(key=lambda line: (str(line["started"] or ""), line["run_id"]), reverse=True)
    return {"schema": 1, "runs": lines}


def compact(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The lines of the index for its page: the main measures, their recipes said once for a thousand runs."""
    recipes: dict[str, int] = {}

    def pack(metric: Mapping[str, Any]) -> list[Any]:
        recipe = {key: metric.get(key) for key in RECIPE}
        number = recipes.setdefault(json.dumps(recipe), len(recipes))
        return [
            *(rounded(metric.get(key)) for key in NUMBERS),
            number,
            metric.get("note"),
        ]

    lines = []
    for run in runs:
        results = [
            {**r, "metrics": {n: pack(m) for n, m in (r.get("metrics") or {}).items() if measure(n).main}}
            for r in run["results"]
        ]
        lines.append({**run, "results": results})
    measures = {name: [shown.label, shown.percent] for name, shown in MEASURES.items()}
    return {"measures": measures, "recipes": [json.loads(recipe) for recipe in recipes], "runs": lines}
