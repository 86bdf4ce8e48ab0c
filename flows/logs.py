"""The log of a run, and the metrics of its trainings, from the store: while it runs or afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.common.errors import InputError
from components.common.plain_json import parsed
from components.common.suggestions import did_you_mean
from components.records.run import RunHead, RunManifest, StageEntry
from components.registry.runs import find_run, read_record
from components.store import Store
from components.store.errors import unless_torn
from flows.record import LOG

POLL = 2.0  # seconds between two looks at a store
SHOWN = 6  # metrics of a step


def lines(
    store: Store,
    run_id: str,
    stage: str | None,
    *,
    follow: bool,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Yield the lines of a run's log, or those about one stage with the metrics of its steps.

    With `follow`, waits for more until the run has ended, or has stopped updating its record.

    Args:
        store: the store of the run.
        run_id: a run id, or `latest`.
        stage: its name, a family, or both as in `train/vae` or "train vae"; None: all.
        follow: whether to wait for more.
        pause: called with seconds to wait.

    Raises:
        InputError: there is no such run or stage.
    """
    run = find_run(store, run_id)
    if stage and not follow:
        _chosen(run, stage)
    printed: set[str] = set()
    while True:
        head = read_record(store, run.run_id, RunHead)
        ended = head is None or head.standing != "running"
        run = read_record(store, run.run_id, RunManifest) or run
        for line in _all_lines(store, run, stage):
            if line not in printed:
                printed.add(line)
                yield line
        if not follow or ended:
            return
        pause(POLL)


def _all_lines(store: Store, run: RunManifest, stage: str | None) -> Iterator[str]:
    """Yield what there is so far."""
    entries = _matching(run, stage) if stage else []
    titles = [entry.title for entry in entries]
    for text in _read(store, f"runs/{run.run_id}/{LOG}"):
        row = _row(text)
        if row and (not stage or any(title in str(row.get("text")) for title in titles)):
            yield f"{str(row.get('time', ''))[11:19]}  {row.get('text', '')}"
    for entry in entries:
        yield from _metrics(store, entry)


def _metrics(store: Store, entry: StageEntry) -> Iterator[str]:
    """Yield the metrics of a training's steps, in the order of the steps."""
    folder = entry.folder
    if not folder and entry.uri:
        attempts = [int(name) for name in store.list(f"{entry.uri}/attempts") if name.isdigit()]
        folder = f"{entry.uri}/attempts/{max(attempts)}" if attempts else ""
    for part in store.list(f"{folder}/metrics") if folder else []:
        for text in _read(store, f"{folder}/metrics/{part}"):
            row = _row(text)
            if row and "step" in row:
                values = [f"{name} {row[name]:.4g}" for name in row if _is_metric(name, row[name])]
                yield f"{entry.title}: step {row['step']}: {', '.join(values[:SHOWN])}"


def _is_metric(name: str, value: object) -> bool:
    return name not in ("step", "attempt") and isinstance(value, int | float)


def _read(store: Store, path: str) -> list[str]:
    return (unless_torn(lambda: store.read_text(path)) or "").splitlines()


def _row(text: str) -> Mapping[str, Any] | None:
    """Return a line of JSON; None if it is torn."""
    try:
        row = parsed(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _chosen(run: RunManifest, stage: str) -> list[StageEntry]:
    """Return the stages of a name.

    Raises:
        InputError: the run has none.
    """
    if entries := _matching(run, stage):
        return entries
    titles = [entry.title for entry in run.stages]
    raise InputError(
        f"run {run.run_id} has no stage {stage!r}{did_you_mean(stage, titles)}; it has: {', '.join(titles)}"
    )


def _matching(run: RunManifest, stage: str) -> list[StageEntry]:
    name = stage.replace("/", " ")
    return [entry for entry in run.stages if name in (entry.title, entry.name, entry.family)]
