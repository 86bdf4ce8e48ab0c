"""`atelier families`, `runs`, `explain`, `report` and `doctor`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.common.paths import home
from flows.cli.shared import find_run, open_named_store, print_table, read_record

LOST = timedelta(minutes=2)  # a run writes its record several times a minute


def list_families(options: argparse.Namespace) -> None:
    """`atelier families`."""
    from components.families.catalogue import describe_families

    if options.hyperparameters:
        list_hyperparameters(options.hyperparameters, options.json)
        return
    rows = describe_families()
    if options.json:
        print(json.dumps(rows))
        return
    print_table(
        ("family", "phases", "needs", "paper"),
        [(r["name"], ", ".join(r["phases"]), ", ".join(r["needs"]) or "-", r["paper"]) for r in rows],
    )


def list_hyperparameters(family: str, as_json: bool) -> None:
    """`atelier families --hyperparameters`."""
    from components.tuning.space import hyperparameters

    rows = [each.described() for each in hyperparameters(family).values()]
    if as_json:
        print(json.dumps(rows))
        return
    print_table(
        ("name", "default", "values", "scale", "searched in", "where", "source"),
        [
            (
                r["name"],
                _value(r["default"]),
                _values(r),
                r["scale"],
                "sampling" if r["sampling"] else "training",
                _where(*r["active_if"]) if r["active_if"] else None,
                r["source"],
            )
            for r in rows
        ],
    )


def _where(name: str, *values: Any) -> str:
    """What another setting must be."""
    return f"{name}={' or '.join(map(_value, values))}"


def _value(value: Any) -> str:
    """As in a config file, but shorter."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).replace('"', "")


def _values(row: dict[str, Any]) -> str:
    """A range's ends, or what there is to choose from."""
    if row["kind"] == "range":
        return f"{row['low']:g} to {row['high']:g}"
    return " | ".join(map(_value, row["values"]))


def list_runs(options: argparse.Namespace) -> None:
    """`atelier runs`."""
    store = open_named_store(options.store)
    records = [r for r in (read_record(store, run_id) for run_id in reversed(store.list("runs"))) if r]
    if options.json:
        print(json.dumps(records))
        return
    print_table(
        ("run", "status", "data", "families", "seconds", "page"),
        [
            (
                r["run_id"],
                standing(r),
                r["lineage"]["data"]["name"],
                ", ".join(r["lineage"]["config"]["families"]),
                f"{r['seconds']:.0f}",
                r["report"] or "-",
            )
            for r in records
        ],
    )


def standing(record: dict[str, Any]) -> str:
    """A run's status; `lost` where it says running, but its heart has stopped: run it again to resume."""
    silent = datetime.now(UTC) - datetime.fromisoformat(record["heartbeat"])
    return "lost" if record["status"] == "running" and silent > LOST else str(record["status"])


def explain_run(options: argparse.Namespace) -> None:
    """`atelier explain`."""
    from flows import views

    store = open_named_store(options.store)
    print_table(("stage", "state", "because"), views.explanation(store, find_run(store, options.run)))


def make_report(options: argparse.Namespace) -> None:
    """`atelier report`."""
    from components import report

    store = open_named_store(options.store)
    if options.action == "serve":
        report.serve(store, options.port)
    elif options.action == "pull":
        store.download("runs", Path(options.output) / "runs")
        store.download("index.html", Path(options.output) / "index.html")
        print(Path(options.output) / "index.html")
    else:
        for run_id in [find_run(store, options.run)["run_id"]] if options.run else store.list("runs"):
            print(report.build_run(store, run_id))
        print(report.build_index(store))


def examine(options: argparse.Namespace) -> int:
    """`atelier doctor`."""
    from components.diagnostics import checks as diagnostics_checks

    checks = diagnostics_checks.examine(home(), options.store, thorough=options.thorough)
    if options.json:
        print(json.dumps([asdict(check) for check in checks]))
    else:
        for check in checks:
            mark = {True: "ok  ", False: "FAIL", None: "warn"}[check.ok]
            print(f"{mark}  {check.name:<22} {check.detail}")
            if check.advice and check.ok is not True:
                print(f"{'':28} -> {check.advice}")
    return 1 if any(check.ok is False for check in checks) else 0
