"""Read the results of a run's sweeps from its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.records.run import RunManifest, StageEntry
from components.records.sweep import Confirmation, SweepResult
from components.records.trial import Trial
from components.report.reading import copy
from components.report.results import folder_of
from components.report.sweep import SweepSection, section_of
from components.report.sweep_tables import picture_copy
from components.store import Store


def sweeps(store: Store, run: RunManifest, report: str) -> list[SweepSection]:
    """Return the results of a run's sweeps, or the results so far."""
    return [_section(store, run, stage, report) for stage in run.stages if stage.name == "sweep"]


def _section(store: Store, run: RunManifest, stage: StageEntry, report: str) -> SweepSection:
    confirmation = Confirmation.read(
        _content(store, run.stage("confirmation", stage.family), "result.json").get("confirmation")
    )
    finished, swept = search_result(store, stage)
    running = not finished and stage.state in ("running", "waiting")
    pictures = copy_pictures(store, swept.trials, report)
    resolution = run.lineage.data.resolution
    return section_of(stage.family or "", swept, confirmation, running, pictures, resolution)


def search_result(store: Store, stage: StageEntry) -> tuple[bool, SweepResult]:
    """Return whether a search is finished, and its result, or its result so far."""
    swept = SweepResult.read(_content(store, stage, "result.json").get("swept"))
    so_far = None if swept else SweepResult.read(_content(store, stage, "progress.json").get("swept"))
    return swept is not None, swept or so_far or SweepResult()


def _content(store: Store, stage: StageEntry | None, file: str) -> Mapping[str, Any]:
    """Return a file of a stage's attempt; empty if there is none."""
    folder = folder_of(store, stage, "")
    return folder.read_json(file) if folder else {}


def copy_pictures(store: Store, trials: Sequence[Trial], report: str) -> set[str]:
    """Copy pictures of trials next to the page; return the names of those that exist."""
    sources = {name: str(trial.picture) for trial in trials if (name := picture_copy(trial.picture))}
    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        copied = pool.map(lambda pair: copy(store, pair[1], f"{report}/{pair[0]}"), sources.items())
        return {name for name, exists in zip(sources, copied, strict=True) if exists}
