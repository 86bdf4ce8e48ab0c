"""Make the experiment of a sweep from its config or record; print its plan and results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from components.common.errors import InputError
from components.common.paths import home
from components.common.units import duration
from components.config import loading
from components.config.experiment import Experiment
from components.data import local
from components.families.resolve import with_upstream
from components.pipeline.expected import Estimates
from components.records.run import RunHead, RunManifest
from components.records.sweep import Confirmation, SweepResult
from components.store import Store, open_store
from components.tuning import space, suggest
from components.tuning.space import Hyperparameter
from components.tuning.sweep import refuse_changed
from components.tuning.trial import check_metric
from components.tuning.trial_context import train_of
from flows import setup, tables
from flows.tables import output, print_table


def from_file(path: Path, changes: Sequence[str]) -> Experiment:
    """Return the experiment of a sweep's config file: the swept family and the families it builds on.

    Raises:
        InputError: the file describes no sweep, or an invalid one.
    """
    return checked(setup.experiment(path, changes), str(path))


def checked(experiment: Experiment, source: str) -> Experiment:
    """Return the experiment with only the swept family and those it builds on; check the search space."""
    if experiment.sweep is None:
        raise InputError(f"{source} has no section sweep; use `atelier run`")
    family, block = experiment.swept, experiment.families[experiment.swept]
    searched = space.resolve(family, experiment.sweep.search, block).values()
    check_metric(family, experiment.sweep.metric)
    size = space.grid_size(list(searched), experiment.sweep.grid_points)
    if experiment.sweep.searcher == "grid" and size > experiment.sweep.trials:
        raise InputError(
            f"the grid has {size} points, more than sweep.trials={experiment.sweep.trials}: "
            "raise sweep.trials, or lower sweep.grid_points or the number of values"
        )
    if not all(parameter.sampling for parameter in searched):
        train_of(experiment.sweep, block["train"])
    sampling_name = next((parameter.name for parameter in searched if parameter.sampling), None)
    return with_upstream(_with_scheduler(experiment, sampling_name), [family])


def _with_scheduler(experiment: Experiment, sampling_name: str | None) -> Experiment:
    """Return the experiment with its scheduler chosen; `sampling_name` is a searched sampling setting."""
    assert experiment.sweep is not None
    scheduler = experiment.sweep.scheduler_for(sampling_name is not None)
    if sampling_name and scheduler != "none":
        raise InputError(
            f"scheduler: {scheduler} needs trials that train, but {sampling_name} is a sampling setting: "
            "search it with scheduler: none"
        )
    return experiment.model_copy(
        update={"sweep": experiment.sweep.model_copy(update={"scheduler": scheduler})}
    )


def interrupted(store: Store, record: RunManifest) -> Experiment:
    """Return the experiment of an interrupted sweep's run, to continue it.

    Raises:
        InputError: the run is not a sweep, the version of its data has changed, or its record names code.
    """
    run_id, config = record.run_id, record.lineage.config
    if not config.get("sweep"):
        raise InputError(f"run {run_id} is not a sweep; run its config again to resume it")
    if withheld := record.withheld:
        raise InputError(
            f"the record of {run_id} leaves out {', '.join(withheld)}, which may be private; "
            f"continue it with --resume and its config; it was started with: {record.command}"
        )
    settings = {**config, "store": {"url": store.url}}
    experiment = loading.parse(settings, f"the record of {run_id}")
    if experiment.evaluate.custom:
        raise InputError(
            f"the record of {run_id} names a custom extractor, which is code and is not taken from a store; "
            f"continue it with --resume and its config"
        )
    check_data(experiment, record)
    return checked(experiment, f"run {run_id}")


def check_data(experiment: Experiment, record: RunHead) -> None:
    """Raise InputError if the version of a sweep's data has changed."""
    name, recorded = experiment.data.name, record.lineage.data.version
    if recorded:
        _, current = local.data_version(home(), name, experiment.data.revision)
        refuse_changed(recorded, current, name, record.run_id)


def show_plan(experiment: Experiment, *, as_json: bool = False) -> None:
    """Print the hyperparameters that a sweep would search, and its procedure."""
    family, settings = experiment.swept, experiment.sweep
    assert settings is not None
    searched = list(space.resolve(family, settings.search, experiment.families[family]).values())
    rows = [parameter.described() for parameter in searched]
    if as_json:
        plan = {"family": family, "hyperparameters": [row.to_json() for row in rows]}
        print(json.dumps(plan | {"sweep": settings.model_dump(mode="json")}))
        return
    console = output()
    heads = ("hyperparameter", "tried", "now", "recommended by")
    table = tables.table("", heads, heads)
    for row in rows:
        values = ", ".join(map(str, row.values or [])) or f"{row.low:g} to {row.high:g}, {row.scale}"
        table.add_row(row.name, values, str(row.default), row.source)
    print_table(console, table)
    console.print(_procedure(experiment, searched), markup=False)
    console.print(_expected(experiment, searched), markup=False, soft_wrap=True)


def _expected(experiment: Experiment, searched: Sequence[Hyperparameter]) -> str:
    """Return how long the trainings of a sweep take at most, as a sentence."""
    settings, family = experiment.sweep, experiment.swept
    assert settings is not None
    if all(parameter.sampling for parameter in searched):
        return "expected: one training, unless it is done already, and the samples of each trial"
    store = open_store(experiment.store.url, home())
    plan = setup.plan_of(experiment, store)
    earlier = Estimates(plan, store).earlier.get(("train", family)) if plan else None
    if earlier is None:
        return (
            f"expected: unknown, since {family} was never trained on this data; `atelier run` with a few "
            "hundred steps measures it"
        )
    full = experiment.training(family)
    before = earlier.settings["train"]
    retrained = settings.finalists * (settings.seeds_per_finalist - 1) * (settings.steps or full.steps)
    confirmed = 2 * settings.confirmation_seeds * full.steps
    steps = _trials(experiment, searched) * (settings.steps or full.steps) + retrained + confirmed
    seconds = earlier.seconds * steps * full.batch / (before["steps"] * before["batch"])
    return f"expected: at most {duration(seconds)} of training, at the speed of an earlier one on this data"


def _trials(experiment: Experiment, searched: Sequence[Hyperparameter]) -> int:
    """Return the number of trials."""
    settings = experiment.sweep
    assert settings is not None
    has_fixed_list = settings.searcher != "optuna"
    return len(suggest.suggestions(searched, settings)) if has_fixed_list else settings.trials


def _procedure(experiment: Experiment, searched: Sequence[Hyperparameter]) -> str:
    """Return the trials, finalists and trainings of a sweep as one sentence."""
    settings, steps = experiment.sweep, experiment.training(experiment.swept).steps
    assert settings is not None
    sampling = all(parameter.sampling for parameter in searched)
    trial = f"{settings.samples} images of one trained model"
    if not sampling:
        steps = settings.steps or steps
        trial = f"{steps:,} steps, evaluated {settings.evaluations} times with {settings.samples} images"
    trials = _trials(experiment, searched)
    method = [settings.searcher] + ([settings.scheduler] if settings.scheduler != "none" else [])
    budget = "with that model" if sampling else "at full budget"
    return (
        f"{trials} trials ({', '.join(method)}) of {trial}; {settings.finalists} finalists on "
        f"{settings.seeds_per_finalist} seeds; winner and default {budget} on "
        f"{settings.confirmation_seeds} fresh seeds"
    )


def results(record: RunManifest, store: Store) -> tuple[SweepResult | None, Confirmation | None]:
    """Return the results of a sweep's run: of its search, and of the winner's confirmation."""
    result, confirmation = None, None
    for stage in record.stages:
        if stage.name in ("sweep", "confirmation") and stage.is_finished:
            content = store.read_json(f"{stage.folder}/result.json")
            if stage.name == "sweep":
                result = SweepResult.read(content["swept"])
            else:
                confirmation = Confirmation.read(content["confirmation"])
    return result, confirmation


def as_json(record: RunManifest, store: Store) -> Mapping[str, Any] | None:
    """Return the results of a sweep's run as `--json` prints them; None before its search has finished."""
    result, confirmation = results(record, store)
    if result is None:
        return None
    return result.to_json() | ({"confirmation": confirmation.to_json()} if confirmation else {})


def show(record: RunManifest, store: Store) -> None:
    """Print the finalists, the winner, and its confirmation."""
    result, confirmation = results(record, store)
    if result is None:
        return
    console = output()
    print_table(console, _finalists(result))
    if result.winner:
        console.print(f"winner: {_trial(result.winner.number)}, {result.winner.why}", markup=False)
    if confirmation:
        console.print(_confirmation(confirmation, result.kind == "sampling"), markup=False)


def _finalists(result: SweepResult) -> Table:
    states = [trial.state for trial in result.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    names = [parameter.name for parameter in result.hyperparameters]
    heads = ("finalist", *names, result.metric.name.replace("_", " "), "95 % interval")
    table = tables.table(f"{result.family}: {counts}", ["finalist"], heads)
    for finalist in result.finalists:
        interval = _interval(finalist.low, finalist.high) or "-"
        values = [_text(finalist.values.get(name)) for name in names]
        table.add_row(_trial(finalist.number), *values, _text(finalist.mean), interval)
    return table


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _confirmation(confirmation: Confirmation, sampling: bool) -> str:
    """Return the comparison of the winner with the config's own settings as one sentence."""
    gain, seconds = confirmation.difference, confirmation.seconds_per_image
    interval = f" ({_interval(gain.low, gain.high)})" if _interval(gain.low, gain.high) else ""
    duration = f", in {seconds.winner / seconds.default:.2f} of the time per image" if seconds else ""
    budget = "with the same model" if sampling else "at full budget"
    return (
        f"{budget}, on {len(confirmation.seeds)} fresh seeds, "
        f"against the config's own settings: {confirmation.metric.replace('_', ' ')} "
        f"{gain.value or 0.0:+.4g}{interval}: {confirmation.says}{duration}"
    )


def _trial(number: int) -> str:
    return f"trial {number}" if number else "as configured"


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
