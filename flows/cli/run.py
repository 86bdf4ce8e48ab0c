"""`atelier run` and `atelier sweep`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from components.common.errors import InputError
from components.common.paths import config_path
from components.common.public import public, public_url
from components.registry.runs import find_run, newest_first
from flows.cli.shared import (
    STORE,
    AsJSON,
    Changes,
    Forced,
    StoreURL,
    open_named_store,
    say,
    say_next,
)

if TYPE_CHECKING:
    from components.config.experiment import Experiment

On = Annotated[
    str | None,
    Parameter(metavar="URL", help="the Ray cluster to run on: ray://HOST:10001 or http://HOST:8265"),
]

FINISHED = ("done", "partial")  # statuses of runs that cannot be continued


def run(
    config: Path | None = None,
    /,
    *,
    changes: Changes = (),
    only: Annotated[tuple[str, ...], Parameter(metavar="FAMILY")] = (),
    force: Forced = (),
    on: On = None,
    plan: bool = False,
    scale: bool = False,
    tflops: Annotated[float | None, Parameter(metavar="N")] = None,
    price: Annotated[float | None, Parameter(metavar="N")] = None,
    explain: bool = False,
    smoke: bool = False,
    as_json: AsJSON = False,
) -> int:
    """Run the pipeline; to resume, run the same command again.

    Args:
        config: a YAML file (default: the quick start)
        only: run only this family and the families it builds on; repeatable
        plan: show what would run and what is cached, without touching anything
        scale: with --plan: check the networks' shapes, and show memory, traffic and cost of training
        tflops: with --scale: 10^12 operations that a worker computes in a second (default: 100)
        price: with --scale: cost of an hour of a worker
        explain: run, and say why each stage runs or not; --plan says it without running
        smoke: run a few steps of everything, to check that it works
    """
    from flows import setup, views

    path = config_path(config)
    experiment = setup.experiment(path, placed(changes, on), only, smoke=smoke)
    if advice := setup.advice_on_hardware(path, experiment.device):
        say(advice)
    if experiment.sweep:
        raise InputError(f"{config} describes a sweep; use `atelier sweep {config}`")
    if plan and scale:
        from flows.scale import TFLOPS, show

        show(experiment, TFLOPS if tflops is None else tflops, price, as_json=as_json)
        return 0
    if scale or tflops is not None or price is not None:
        raise InputError("--scale needs --plan; --tflops and --price need --plan --scale")
    if plan:
        as_written = not only and all(change.startswith("store.") for change in changes)
        stated = setup.stated_minutes(path) if as_written else ""
        views.show_plan(experiment, force, stated=stated, as_json=as_json)
        if not as_json:
            say_next(f"the same command without --plan: {without_plan()}")
        return 0
    from flows import launch, launcher

    record = launch.launch(launcher.Launch(experiment, force, explain, smoke, _command_line()))
    if as_json:
        print(json.dumps(views.summary(record)))
    else:
        views.show(record, open_named_store(experiment.store.url))
    return 0 if record.status == "done" else 1


def sweep(
    config: Path | None = None,
    /,
    *,
    resume: bool = False,
    resume_run: Annotated[str | None, Parameter(metavar="ID")] = None,
    changes: Changes = (),
    force: Forced = (),
    on: On = None,
    plan: bool = False,
    explain: bool = False,
    as_json: AsJSON = False,
    store: Annotated[StoreURL | None, Parameter(show_default=lambda _: f"the config's, or {STORE}")] = None,
) -> int:
    """Search hyperparameters; finished trials are never run again.

    Args:
        config: a YAML file with a section sweep
        resume: continue the newest interrupted sweep of this config, in its run
        resume_run: continue an interrupted sweep by its run id or `latest`, with its own settings
        plan: show what would be searched, without touching anything
        explain: run, and say why each stage runs or not; --plan says it without running
    """
    from flows import launch, launcher, sweep_setup, views

    experiment, run_id = _swept(config, resume, resume_run, changes, store, on)
    if plan:
        sweep_setup.show_plan(experiment, as_json=as_json)
        if not as_json:
            say_next(f"the same command without --plan: {without_plan()}")
        return 0
    record = launch.launch(launcher.Launch(experiment, force, explain, False, _command_line(), run_id))
    opened = open_named_store(experiment.store.url)
    if as_json:
        print(json.dumps({**views.summary(record), "sweep": sweep_setup.as_json(record, opened)}))
    else:
        sweep_setup.show(record, opened)
        views.show(record, opened)
    return 0 if record.status == "done" else 1


def _swept(
    config: Path | None,
    resume: bool,
    resume_run: str | None,
    changes: Sequence[str],
    store: str | None,
    on: str | None,
) -> tuple[Experiment, str | None]:
    """Return the experiment to sweep, and the id of the run that it continues, if any."""
    from flows import sweep_setup

    if config and resume_run:
        raise InputError(f"{config} and --resume-run {resume_run}: name a config or a run")
    if resume_run:
        if changes:
            raise InputError(
                "--resume-run continues with the settings of that sweep; --set is for a config only"
            )
        opened = open_named_store(store or STORE)
        record = find_run(opened, resume_run, kind="sweep")
        continued = sweep_setup.interrupted(opened, record)
        return continued.model_copy(update={"cluster": None if on is None else checked_on(on)}), record.run_id
    if config is None:
        raise InputError("name a config to sweep, or --resume-run ID to continue an interrupted sweep")
    store_change = [f"store.url={store}"] if store else []
    experiment = sweep_setup.from_file(config_path(config), placed([*changes, *store_change], on))
    return experiment, newest_interrupted(experiment, config) if resume else None


def placed(changes: Sequence[str], on: str | None) -> list[str]:
    """Return the changes of settings with that of `--on`."""
    return [*changes, f"cluster={checked_on(on)}"] if on is not None else list(changes)


def checked_on(on: str) -> str:
    """Return the address of a cluster; raise InputError if it is none."""
    from components.config.experiment import checked_address

    try:
        return checked_address(on)
    except ValueError as error:
        raise InputError(f"--on {public_url(on)}: {error}") from None


def newest_interrupted(experiment: Experiment, config: Path) -> str:
    """Return the id of the newest interrupted run of this sweep.

    Raises:
        InputError: there is none, or the version of its data has changed.
    """
    from components.records.run import RunHead
    from flows import sweep_setup
    from flows.record import redacted

    store = open_named_store(experiment.store.url)
    settings = redacted(experiment)
    for record in newest_first(store, RunHead):
        if record.lineage.config == settings and record.status not in FINISHED:
            sweep_setup.check_data(experiment, record)
            return record.run_id
    raise InputError(f"--resume: no sweep of {config} with these settings was interrupted in this store")


def without_plan() -> str:
    """Return the command as typed, without --plan and --explain, whose reasons the plan has given."""
    dry = ("--plan", "--explain")
    return shlex.join(["atelier", *(argument for argument in sys.argv[1:] if argument not in dry)])


def _command_line() -> str:
    """Return the command as typed, without parent folders and credentials."""
    return " ".join(["atelier", *(public(argument) for argument in sys.argv[1:])])
