"""`atelier run` and `atelier sweep`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.paths import config_path
from flows.cli.shared import STORE, add_command, add_store, find_run, open_named_store


def add_run(commands: Any) -> None:
    """Add `run`."""
    run = add_command(
        commands, "run", run_pipeline, "run the pipeline; to resume, run the same command again"
    )
    run.add_argument("config", nargs="?", type=Path, help="a YAML file; without one, the quick start")
    run.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting")
    run.add_argument("--only", action="append", default=[], metavar="FAMILY", help="run only these families")
    run.add_argument(
        "--force", action="append", default=[], metavar="STAGE", help="run a stage though it is done"
    )
    run.add_argument(
        "--plan", action="store_true", help="show what would run and what is cached; touch nothing"
    )
    run.add_argument("--explain", action="store_true", help="say why each stage runs or not")
    run.add_argument("--smoke", action="store_true", help="a few steps of everything: does it work at all?")
    run.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")


def add_sweep(commands: Any) -> None:
    """Add `sweep`."""
    sweep = add_command(
        commands, "sweep", run_sweep, "search hyperparameters; the same command again resumes"
    )
    sweep.add_argument("config", nargs="?", type=Path, help="a YAML file with a section sweep")
    sweep.add_argument(
        "--resume",
        metavar="ID",
        nargs="?",
        const="last",
        help="go on with an interrupted sweep: a run id; without one, the last sweep, or CONFIG's",
    )
    sweep.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting")
    sweep.add_argument(
        "--force", action="append", default=[], metavar="STAGE", help="run a stage though it is done"
    )
    sweep.add_argument("--plan", action="store_true", help="show what would be searched; touch nothing")
    sweep.add_argument("--explain", action="store_true", help="say why each stage runs or not")
    sweep.add_argument("--json", action="store_true", help="the result as one JSON object")
    add_store(sweep)
    sweep.set_defaults(store=None)  # the config's, or the usual one with --resume


def run_pipeline(options: argparse.Namespace) -> int:
    """`atelier run`."""
    from flows import setup, start, views

    experiment = setup.experiment(config_path(options.config), options.set, options.only, smoke=options.smoke)
    if experiment.sweep:
        raise InputError(f"{options.config} describes a sweep: atelier sweep {options.config}")
    if options.plan:
        views.show_plan(experiment, options.force, as_json=options.json)
        return 0
    record = start.start(
        experiment, force=options.force, explain=options.explain, smoke=options.smoke, command=_command_line()
    )
    if options.json:
        print(json.dumps(views.summary(record)))
    else:
        views.show(record, open_named_store(experiment.store.url))
    return 0 if record["status"] == "done" else 1


def run_sweep(options: argparse.Namespace) -> int:
    """`atelier sweep`."""
    from flows import start, sweep_setup, views

    if options.config is None and options.resume is None:
        raise InputError("name a config to start a sweep, or --resume ID to go on with one")
    if options.config and options.resume not in (None, "last"):
        raise InputError(
            f"{options.config} and --resume {options.resume}: name a config or a run; a config's sweep goes "
            "on where it was interrupted by itself"
        )
    if options.config is None and options.set:
        raise InputError("--resume goes on with the settings of that sweep; --set is for a config")
    resume = None
    if options.config is None:
        store = open_named_store(options.store or STORE)
        record = find_run(store, options.resume, kind="sweep")
        resume, experiment = record["run_id"], sweep_setup.interrupted(store, record)
    else:
        where = [f"store.url={options.store}"] if options.store else []
        experiment = sweep_setup.from_file(config_path(options.config), [*options.set, *where])
    if options.plan:
        sweep_setup.show_plan(experiment, as_json=options.json)
        return 0
    record = start.start(
        experiment, force=options.force, explain=options.explain, command=_command_line(), resume=resume
    )
    store = open_named_store(experiment.store.url)
    if options.json:
        print(json.dumps(views.summary(record) | {"sweep": sweep_setup.results(record, store)}))
    else:
        sweep_setup.show(record, store)
        views.show(record, store)
    return 0 if record["status"] == "done" else 1


def _command_line() -> str:
    """What was typed, for the record: without folders of this machine and without credentials."""
    from flows.record import public

    return " ".join(["atelier", *(public(argument) for argument in sys.argv[1:])])
