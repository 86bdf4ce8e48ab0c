"""From a sweep's config, or an interrupted sweep, to its experiment; what is said before and after it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.common.errors import InputError
from components.common.paths import home
from components.config import loading
from components.config.experiment import Experiment
from components.data import local
from components.families.resolve import with_upstream
from components.store import Store
from components.tuning import space, suggest
from components.tuning.sweep import refuse_changed
from components.tuning.trial import check_metric, train_of
from flows import setup


def from_file(path: Path, changes: Sequence[str]) -> Experiment:
    """The experiment of a sweep's config file: that family, and what it builds on.

    Raises:
        InputError: the file describes no sweep, or one that cannot be.
    """
    return checked(setup.experiment(path, changes), str(path))


def checked(whole: Experiment, where: str) -> Experiment:
    """The same with the swept family and what it builds on alone; what it searches is tried."""
    if whole.sweep is None:
        raise InputError(f"{where} has no section sweep; `atelier run` is for it")
    family, block = whole.swept, whole.families[whole.swept]
    found = space.resolve(family, whole.sweep.search, block)
    check_metric(family, whole.sweep.metric)
    size = space.grid_size(list(found.values()), whole.sweep.points)
    if whole.sweep.searcher == "grid" and size > whole.sweep.trials:
        raise InputError(
            f"the grid has {size} points, of which sweep.trials={whole.sweep.trials} would leave some out: "
            "raise it, or lower sweep.points or the values of what is searched"
        )
    if not all(each.sampling for each in found.values()):
        train_of(whole.sweep, block["train"])
    drawing = next((name for name, each in found.items() if each.sampling), None)

    return with_upstream(_scheduled(whole, drawing), [family])


def _scheduled(whole: Experiment, drawing: str | None) -> Experiment:
    """The same with the scheduler that goes with the rest; `drawing`: a setting of sampling, if searched."""
    assert whole.sweep is not None
    scheduler = whole.sweep.asked(drawing is not None)
    if drawing and scheduler != "none":
        raise InputError(
            f"scheduler: {scheduler} is for trials that train, and {drawing} is of sampling: search it with "
            "scheduler: none"
        )
    return whole.model_copy(update={"sweep": whole.sweep.model_copy(update={"scheduler": scheduler})})


def interrupted(store: Store, record: dict[str, Any]) -> Experiment:
    """The experiment of a sweep's run, to go on with.

    Raises:
        InputError: the run is no sweep, or its data is no longer what it was.
    """
    run_id, lineage = record["run_id"], record["lineage"]
    if not lineage["config"].get("sweep"):
        raise InputError(f"run {run_id} is no sweep; run its config again to go on with it")
    if withheld := record.get("withheld"):
        raise InputError(
            f"the record of {run_id} leaves out {', '.join(withheld)}, which may be private; "
            f"go on with the command that began it, with its config: {record['command']}"
        )
    settings = lineage["config"] | {"store": {"url": store.url}}
    found = loading.parse(settings, f"the record of {run_id}")
    check_data(found, record)
    return checked(found, f"run {run_id}")


def check_data(experiment: Experiment, record: dict[str, Any]) -> None:
    """Refuse to continue a sweep whose data is no longer what it was."""
    name, before = experiment.data.name, record["lineage"]["data"].get("version")
    if before:
        _, now = local.data_version(home(), name, experiment.data.revision)
        refuse_changed(before, now, name, record["run_id"])


def show_plan(experiment: Experiment, *, as_json: bool = False) -> None:
    """What a sweep would search, and how."""
    family, settings = experiment.swept, experiment.sweep
    assert settings is not None
    found = space.resolve(family, settings.search, experiment.families[family])
    rows = [one.described() for one in found.values()]
    if as_json:
        print(
            json.dumps({"family": family, "hyperparameters": rows, "sweep": settings.model_dump(mode="json")})
        )
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(box=None, pad_edge=False)
    for head in ("hyperparameter", "tried", "now", "recommended by"):
        table.add_column(head)
    for row in rows:
        tried = (
            f"{row['low']:g} to {row['high']:g}, {row['scale']}"
            if row["values"] is None
            else ", ".join(str(value) for value in row["values"])
        )
        table.add_row(row["name"], tried, str(row["default"]), row["source"])
    console.print(table)
    block = experiment.families[family]["train"]
    drawing = all(one.sampling for one in found.values())
    steps = settings.steps or block["steps"]
    each = f"{settings.samples} images of one trained model"
    if not drawing:
        each = f"{steps:,} steps, judged {settings.judgements} times by {settings.samples} images"
    listed = settings.searcher != "optuna"
    trials = len(suggest.suggestions(list(found.values()), settings)) if listed else settings.trials
    how = settings.searcher if settings.scheduler == "none" else f"{settings.searcher}, {settings.scheduler}"
    budget = "with that model" if drawing else "at full budget"
    console.print(
        f"{trials} trials ({how}) of {each}; {settings.finalists} finalists on {settings.repeats} "
        f"seeds; winner and default {budget} on {settings.fresh_seeds} fresh seeds",
        markup=False,
    )


def results(record: dict[str, Any], store: Store) -> dict[str, Any] | None:
    """What a sweep's run found: trials, finalists, winner; the duel, where there was one."""
    found: dict[str, Any] = {}
    for stage in record["stages"]:
        if stage["name"] in ("sweep", "confirmation") and stage["state"] in ("ran", "cached"):
            result = store.read_json(f"{stage['uri']}/attempts/{stage['attempt']}/result.json")
            found |= result["swept"] if stage["name"] == "sweep" else {"duel": result["duel"]}
    return found or None


def show(record: dict[str, Any], store: Store) -> None:
    """The finalists, the winner, and what it is worth."""
    found = results(record, store)
    if found is None:
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    states = [trial["state"] for trial in found["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    table = Table(title=f"{found['family']}: {counts}", box=None, pad_edge=False, title_justify="left")
    names = [h["name"] for h in found["hyperparameters"]]
    for head in ("finalist", *names, found["metric"]["name"].replace("_", " "), "95 % interval"):
        table.add_column(head, justify="right")
    for one in found["finalists"]:
        spread = "-" if one["low"] is None else f"{one['low']:.4g} to {one['high']:.4g}"
        values = [_told(one["values"][name]) for name in names]
        table.add_row(_called(one["number"]), *values, _told(one["mean"]), spread)
    console.print(table)
    won = found["winner"]
    console.print(f"winner: {_called(won['number'])}, {won['why']}", markup=False)
    if duel := found.get("duel"):
        gain = duel["difference"]
        spread = "" if gain["low"] is None else f" ({gain['low']:.4g} to {gain['high']:.4g})"
        drawing, cost = found["kind"] == "sampling", duel.get("seconds_per_image")
        taking = f", in {cost['winner'] / cost['default']:.2f} of the time an image" if cost else ""
        console.print(
            f"{'with the same model' if drawing else 'at full budget'}, on {len(duel['seeds'])} fresh seeds, "
            f"against the config's own settings: {duel['metric'].replace('_', ' ')} "
            f"{gain['value']:+.4g}{spread}: {duel['says']}{taking}",
            markup=False,
        )


def _called(number: int) -> str:
    return f"trial {number}" if number else "as configured"


def _told(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
