"""`atelier families`, `runs`, `logs`, `explain`, `report` and `doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from components.common.atomic import replacing
from components.common.errors import InputError
from components.common.paths import home
from components.common.progress import reported
from components.registry.runs import LATEST, find_run
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    after_looking,
    open_named_store,
    print_table,
    progress_shown,
    say,
    say_next,
)

if TYPE_CHECKING:
    from components.records.sweep import SearchedHyperparameter

report = App(name="report", help="Rebuild, serve or copy the pages.")


def families(
    *,
    hyperparameters: Annotated[str | None, Parameter(metavar="FAMILY")] = None,
    as_json: AsJSON = False,
) -> None:
    """List the model families, their papers and phases.

    Args:
        hyperparameters: list what a sweep can search in this family, with sources
    """
    from components.families.listing import listed_families

    if hyperparameters:
        list_hyperparameters(hyperparameters, as_json)
        return
    rows = listed_families()
    if as_json:
        print(json.dumps(rows))
        return
    print_table(
        ("family", "phases", "needs", "paper"),
        [(r["name"], ", ".join(r["phases"]), ", ".join(r["needs"]) or "-", r["paper"]) for r in rows],
    )
    say_next("atelier init NAME chooses families for a data set; --hyperparameters FAMILY lists settings")


def list_hyperparameters(family: str, as_json: bool) -> None:
    """Print the hyperparameters of a family, for `atelier families --hyperparameters`."""
    from components.tuning.space import hyperparameters

    rows = [hyperparameter.described() for hyperparameter in hyperparameters(family).values()]
    if as_json:
        print(json.dumps([row.to_json() for row in rows]))
        return
    print_table(
        ("name", "default", "values", "scale", "searched in", "where", "source"),
        [
            (
                r.name,
                _value(r.default),
                _values(r),
                r.scale,
                "sampling" if r.sampling else "training",
                _condition(*r.active_if) if r.active_if else None,
                r.source,
            )
            for r in rows
        ],
    )
    say_next("atelier sweep CONFIG searches them; configs/sweeps/ has examples")


def _condition(name: str, *values: Any) -> str:
    """Return the condition that another setting must meet, as text."""
    return f"{name}={' or '.join(map(_value, values))}"


def _value(value: Any) -> str:
    """Return a value as in a config file, but shorter."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).replace('"', "")


def _values(row: SearchedHyperparameter) -> str:
    """Return the ends of a range, or the values of a choice, as text."""
    if row.kind == "range":
        return f"{row.low:g} to {row.high:g}"
    return " | ".join(map(_value, row.values or []))


Standing = Literal["running", "done", "partial", "failed", "interrupted", "lost", "unreadable"]


def runs(
    *,
    status: Standing | None = None,
    data: Annotated[str | None, Parameter(metavar="NAME")] = None,
    family: Annotated[str | None, Parameter(metavar="FAMILY")] = None,
    kind: Literal["run", "sweep"] | None = None,
    n: Annotated[int | None, Parameter(name="-n", show_default=lambda _: "all")] = None,
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """List the runs in the store, newest first.

    Args:
        status: only runs of this status; lost: killed, or cut off from the store
        data: only runs on this data set, or whose data version begins with it
        family: only runs with this family
        kind: only runs, or only sweeps
        n: list only this many of the newest runs
    """
    from flows import run_list

    opened = open_named_store(store)
    summaries = run_list.matching(opened, status, data, family, kind, n)
    if as_json:
        print(json.dumps([run_list.as_json(opened, run) for run in summaries]))
        return
    print_table(run_list.COLUMNS, run_list.rows(opened, summaries))
    if summaries and summaries[0].standing == "running":
        say_next(f"atelier logs {summaries[0].run_id} --follow")
    elif summaries:
        say_next("atelier explain RUN, or atelier sample RUN FAMILY -o samples.png")
    elif opened.list("runs"):
        say_next("no run is like that: atelier runs lists all")
    else:
        say_next("there is no run yet: atelier run begins the first")


def logs(
    run: str = LATEST, stage: str | None = None, /, *, follow: bool = False, store: StoreURL = STORE
) -> None:
    """Print the log of a run, or that of a stage with the metrics of a training's steps.

    Args:
        run: a run id, or `latest`
        stage: a stage or family, or both as in train/vae
        follow: wait for more lines until the run has ended
    """
    from flows import logs as stored

    opened = open_named_store(store)
    for line in stored.lines(opened, run, stage, follow=follow):
        print(line, flush=True)
    manifest = find_run(opened, run)
    say_next(after_looking(manifest, f"atelier explain {manifest.run_id} says why each stage ran"))


def explain(run: str = LATEST, /, *, store: StoreURL = STORE) -> None:
    """Explain why each stage of a run ran or was cached.

    Args:
        run: a run id, or `latest`
    """
    from flows import views

    opened = open_named_store(store)
    manifest = find_run(opened, run)
    print_table(("stage", "state", "because"), views.explanation(opened, manifest))
    say_next(after_looking(manifest, f"atelier logs {manifest.run_id} STAGE prints what a stage printed"))


def compare(first: str, second: str, /, *, as_json: AsJSON = False, store: StoreURL = STORE) -> None:
    """Compare two runs: the settings that differ, and the metrics of families that both have.

    Args:
        first: a run id, or `latest`
        second: a run id, or `latest`
    """
    from components.report.metric_labels import MARK
    from flows.compare import SAME, changed_settings, compared_metrics, same_results, unlike_real_images

    opened = open_named_store(store)
    runs = find_run(opened, first), find_run(opened, second)
    settings, metrics = changed_settings(*runs), list(compared_metrics(*runs))
    unlike = list(unlike_real_images(*runs))
    if as_json:
        parts: dict[str, Sequence[Any]] = {"settings": settings, "metrics": metrics, "unlike_real": unlike}
        rows = {name: [asdict(row) for row in part] for name, part in parts.items()}
        print(json.dumps({"runs": [run.run_id for run in runs], **rows}))
        return
    ids = [run.run_id for run in runs]
    print_table(("setting", *ids), [(row.name, _value(row.first), _value(row.second)) for row in settings])
    print()
    print_table(
        ("metric", *ids, ""),
        [
            (row.label + MARK * bool(row.note), row.shown(row.first), row.shown(row.second), row.why_not)
            for row in metrics
            if row.why_not != SAME
        ],
    )
    for family in same_results(*runs):
        print(f"both runs have the same result of {family}: it was trained and measured once, then reused")
    for row in metrics:
        if row.note and row.why_not != SAME:
            print(f"{MARK.strip()} {row.label}: {row.note}")
    for one in unlike:
        print(f"{one.family} of {one.run_id} is not near real images: {one.why}")
    page = f"/compare.html#runs={','.join(ids)}"
    say_next(f"atelier report serve shows the samples of both at {page}")


@report.command(name="build")
def build_report(*, run: str | None = None, single_file: Path | None = None, store: StoreURL = STORE) -> None:
    """Rebuild the pages.

    Args:
        run: build only this run's page, and the index
        single_file: also write this run's page, with all that it loads, to one file
    """
    from components import report

    if single_file and not run:
        raise InputError("--single-file holds the page of one run: name it with --run")
    opened = open_named_store(store)
    run_ids = [find_run(opened, run).run_id] if run else opened.list("runs")
    with progress_shown("build", single_file):
        for run_id in reported(run_ids, "build"):
            try:
                print(report.build_run(opened, run_id))
            except InputError as error:
                if run:
                    raise
                say(f"no page of {run_id}: {error}")
        print(report.build_index(opened))
        if single_file:
            with replacing(single_file) as temporary:
                temporary.write_text(report.single_file(opened, run_ids[0]), encoding="utf-8")
            print(single_file)
    say_next(f"open {single_file} in a browser" if single_file else "atelier report serve")


@report.command(name="serve")
def serve_report(*, port: int = 8000, store: StoreURL = STORE) -> None:
    """Serve the pages on this machine.

    Args:
        port: the port on the loopback address
    """
    from components import report

    opened = open_named_store(store)
    if not opened.exists("index.html"):
        say(
            f"no pages in {opened.url} yet: a run writes its page once a training has samples, and atelier "
            "report build writes it at once"
        )
    report.serve(opened, port)


@report.command(name="pull")
def pull_report(
    *, output: Annotated[Path, Parameter(alias="-o")] = Path("report"), store: StoreURL = STORE
) -> None:
    """Copy the pages to a folder.

    Args:
        output: the folder
    """
    from components import report

    with progress_shown("copy", output):
        page = report.pull(open_named_store(store), output)
    print(page)
    say_next(f"open {page} in a browser")


@report.command(name="votes")
def import_votes(*files: Path, store: StoreURL = STORE) -> None:
    """Add votes and stars that pages exported, and print the win rates.

    Args:
        files: exported by `Export votes and stars` on a page
    """
    from components import report
    from components.registry import reviews
    from components.report.preferences import preferences

    if not files:
        raise InputError("name the files that pages exported")
    opened, exported = open_named_store(store), [reviews.read_file(path) for path in files]
    runs = list(dict.fromkeys(run_id for review in exported for run_id in reviews.add(opened, review)))
    every = [review for run_id in runs for review in reviews.of_run(opened, run_id)]
    print_table(
        ("preferred", "to", "win rate", "95 % interval", "wins", "ties", "votes"),
        [(p.preferred, p.other, p.rate, p.interval, p.wins, p.ties, p.votes) for p in preferences(every)],
    )
    for run_id in runs:
        say(report.build_run(opened, run_id))
    say_next("atelier report serve shows the win rates on the pages of these runs")


def doctor(*, as_json: AsJSON = False, store: StoreURL = STORE) -> int:
    """Check everything that Atelier needs, and advise on missing parts."""
    from components.diagnostics import checks as diagnostics_checks

    with progress_shown("check"):
        checks = diagnostics_checks.examine(home(), store, "flows.prefect_server")
    if as_json:
        print(json.dumps([asdict(check) for check in checks]))
    for check in checks if not as_json else ():
        mark = {True: "ok  ", False: "FAIL", None: "warn"}[check.ok]
        print(f"{mark}  {check.name:<22} {check.detail}")
        if check.advice and check.ok is not True:
            print(f"{'':28} -> {check.advice}")
    failed = any(check.ok is False for check in checks)
    if not as_json:
        say_next("what the arrows advise, then atelier doctor" if failed else "atelier run")
    return 1 if failed else 0
