"""What the attempts of a run left: curves, grids, results, diagnoses."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from components.common.errors import InputError
from components.report import formatting, health, sweep_reading
from components.report.metric_labels import measure
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
)
from components.report.sweep import of_family
from components.store import Store

CURVED = ("kid", "frechet_distance", "fid", "mse", "mae")  # what snapshots are judged by through training

T = TypeVar("T")

GRID = re.compile(r"step-(\d+)\.webp")


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
    meta, stem = trained(store, attempt).get("samples") or {}, stem_of(stage, attempt)
    grids = []
    for name in store.list(f"{attempt}/samples"):
        found = GRID.fullmatch(name)
        step = int(found[1]) if found else -1
        if not found or not course.has_reached(step):
            continue
        number = course.attempt_at(step)
        target = f"samples/{stem}{f'-a{number}' if number > 1 else ''}-{name}"
        if copy(store, f"{attempt}/samples/{name}", f"{report}/{target}"):
            grids.append({"step": step, "src": target, **cost_at(course.rows, step)})
    shown = {key: meta.get(key) for key in ("columns", "count", "resolution", "channels", "labels", "titles")}
    for name, file in (("originals", "source.webp"), ("given", "given.webp")):
        if copy(store, f"{attempt}/samples/{file}", f"{report}/samples/{stem}-{file}"):
            shown[name] = f"samples/{stem}-{file}"
    return {**shown, "grids": sorted(grids, key=lambda grid: grid["step"])}


def stem_of(stage: Mapping[str, Any], attempt: str) -> str:
    """The beginning of the names of an attempt's images beside the page."""
    family, key = (formatting.slug(str(stage.get(name))) for name in ("family", "key"))
    return f"{family}-{key[:8]}-{attempt.rsplit('/', 1)[-1]}"


def cost_at(rows: Sequence[Row], step: int) -> dict[str, Any]:
    """Seconds and images by `step`, from the last row logged until then."""
    before = [row for row in rows if row["step"] <= step]
    return {key: before[-1].get(key) if before else 0 for key in ("seconds", "images")}


def real_images(store: Store, stages: Sequence[Mapping[str, Any]], report: str) -> dict[str, Any] | None:
    """The grid of real images that a stage names in its result.json under "real", if any does."""
    for stage in stages:
        attempt = attempt_of(store, stage)
        real = read_json(store, f"{attempt}/result.json").get("real") if attempt else None
        if isinstance(real, dict) and isinstance(real.get("path"), str):
            target = f"samples/real-{formatting.slug(str(stage.get('key')))[:8]}.webp"
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
    count = formatting.number(metric.get("n"))
    return f"{shown.show(metric['value'])}{within} of {count} samples memorised{real}"


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
            "optional": bool(s.get("optional")),  # a family has finished all the same
            "error": str(s.get("error") or "no reason was recorded").strip().split("\n")[0],
        }
        for s in failed
    ]


def told(
    store: Store,
    run: Mapping[str, Any],
    stage: Mapping[str, Any],
    report: str,
    read: Callable[[Object, Pictures], T | None],
) -> T | None:
    """What a stage after a family's training has to tell of it, as `read` makes it of the stage's result."""
    attempt = attempt_of(store, stage)
    if attempt is None:
        return None
    resolution = ((run.get("lineage") or {}).get("data") or {}).get("resolution")
    stem = f"{stage['name']}-{stem_of(stage, attempt)}"
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
        found.append(of_family(family, told, duel, running, pictures, resolution))
    return found


def said(store: Store, stage: Mapping[str, Any], file: str, name: str) -> Mapping[str, Any]:
    """What a stage's attempt has left in a file under a name; empty without."""
    attempt = attempt_of(store, stage)
    return as_object(read_json(store, f"{attempt}/{file}").get(name)) if attempt else {}


def fetch(store: Store, pictures: Sequence[Any], report: str) -> set[str]:
    """Copy pictures of trials beside the page; the names of those that are there."""
    wanted = {name: path for path in pictures if (name := sweep_reading.copies(path))}
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
            stem=stem_of(stage, attempt),
        ),
    }


def builds_on(stage: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The other families whose trained models a family's stage builds on."""
    own, keys = stage.get("family"), stage.get("upstream") or []
    if not own:
        return []
    return [str(s["family"]) for s in stages if s.get("key") in keys and s.get("family") not in (None, own)]
