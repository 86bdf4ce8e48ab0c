"""Read what the stages of a run left of sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.records.sweep import Confirmation, SweepResult
from components.records.trial import Trial
from components.report.reading import copy, read_json
from components.report.results import attempt_of
from components.report.sweep import SweepSection, section_of
from components.report.sweep_tables import picture_copy
from components.store import Store

Stage = Mapping[str, Any]  # of run.json


def sweeps(store: Store, run: Mapping[str, Any], report: str) -> list[SweepSection]:
    """What the sweeps of a run have found, or have found so far."""
    resolution = ((run.get("lineage") or {}).get("data") or {}).get("resolution")
    stages = [stage for stage in run.get("stages") or [] if isinstance(stage, dict)]
    confirmations = {
        stage.get("family"): Confirmation.read(_content(store, stage, "result.json").get("duel"))
        for stage in stages
        if stage.get("name") == "confirmation"
    }
    return [
        _section(store, stage, confirmations.get(stage.get("family")), report, resolution)
        for stage in stages
        if stage.get("name") == "sweep"
    ]


def _section(
    store: Store, stage: Stage, confirmation: Confirmation | None, report: str, resolution: Any
) -> SweepSection:
    swept = SweepResult.read(_content(store, stage, "result.json").get("swept"))
    running = swept is None and stage.get("state") in ("running", "waiting")
    swept = swept or SweepResult.read(_content(store, stage, "progress.json").get("swept")) or SweepResult()
    pictures = copy_pictures(store, swept.trials, report)
    return section_of(str(stage.get("family") or ""), swept, confirmation, running, pictures, resolution)


def _content(store: Store, stage: Stage, file: str) -> Mapping[str, Any]:
    """A file that a stage's attempt has left; empty without."""
    attempt = attempt_of(store, stage)
    return read_json(store, f"{attempt}/{file}") if attempt else {}


def copy_pictures(store: Store, trials: Sequence[Trial], report: str) -> set[str]:
    """Copy pictures of trials beside the page; the names of those that exist."""
    wanted = {name: str(trial.picture) for trial in trials if (name := picture_copy(trial.picture))}
    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        copied = pool.map(lambda pair: copy(store, pair[1], f"{report}/{pair[0]}"), wanted.items())
        return {name for name, exists in zip(wanted, copied, strict=True) if exists}
