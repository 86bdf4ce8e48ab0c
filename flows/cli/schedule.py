"""`atelier schedule`, `backfill`, `why` and `automations`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from components.common.errors import InputError
from components.common.paths import config_path
from flows.cli.shared import STORE, AsJSON, Changes, StoreURL, open_named_store, print_table, say, say_next

if TYPE_CHECKING:
    from components.records.scheduled import ScheduledRun
    from flows.backfill import Outcome
    from flows.deployments import Request, Row

NAME = Parameter(metavar="NAME")
COLUMNS = ("schedule", "config", "cron", "timezone", "active", "served by", "last date", "last", "next date")


def schedule(
    config: Path | None = None,
    /,
    *,
    cron: str | None = None,
    timezone: str = "UTC",
    name: Annotated[str | None, Parameter(show_default=lambda _: "the config's")] = None,
    pool: Annotated[str | None, NAME] = None,
    changes: Changes = (),
    only: Annotated[tuple[str, ...], Parameter(metavar="FAMILY")] = (),
    max_late: Annotated[float | None, Parameter(metavar="MINUTES")] = None,
    listed: Annotated[bool, Parameter("--list")] = False,
    check: bool = False,
    remove: Annotated[str | None, NAME] = None,
    as_json: AsJSON = False,
) -> int:
    """Run or sweep a config at the dates of a cron expression, until interrupted; needs a Prefect server.

    Args:
        config: a YAML file in the project; with a section sweep, it is swept
        cron: minute, hour, day of the month, month, day of the week, such as "0 2 * * *"
        timezone: the zone of the dates, such as Europe/Berlin
        name: the name of the schedule
        pool: leave the runs to the workers of this work pool, and return
        only: run only this family and the families it builds on; repeatable
        max_late: skip a run that would begin more than this many minutes late; without it, one run makes up
            for all missed dates
        listed: list the schedules of the server
        check: check the schedules of the server; exit code 1 if there is a problem
        remove: remove a schedule; its past runs and all results stay
    """
    if [listed, check, remove is not None, config is not None].count(True) != 1:
        raise InputError("name a config to schedule, or give one of --list, --check and --remove NAME")
    from flows import deployments

    if config is not None:
        return _make(deployments.Request.of(config, cron, timezone, name, changes, only, max_late), pool)
    if check:
        return _report(deployments.problems(), as_json)
    if remove is not None:
        deployments.remove(remove)
        print(f"removed schedule {remove}; its past runs and all results stay")
        say_next("atelier schedule --list shows the others")
        return 0
    rows = deployments.rows()
    if as_json:
        print(json.dumps(rows))
    elif rows:
        print_table(COLUMNS, [_cells(row) for row in rows])
        say_next(f"atelier why {rows[0]['schedule']} says what became of its last date")
    else:
        say("there are no schedules yet")
        say_next('atelier schedule CONFIG --cron "0 2 * * *" makes one')
    return 0


def _make(request: Request, pool: str | None) -> int:
    """Serve a schedule, or hand it to a work pool."""
    from flows import deployments

    described = f"schedule {request.name}: {request.config} at {request.cron!r}, {request.timezone}"
    if pool:
        deployments.ship(request, pool)
        print(f"{described}, run by work pool {pool}")
        say_next(f"prefect worker start --pool {pool}, if none works; atelier schedule --list shows all")
    else:
        deployments.require_server()
        say(f"{described}; runs on this machine until this command is interrupted")
        deployments.serve(request)
    return 0


def _cells(row: Row) -> tuple[str | bool | None, ...]:
    served = row["pool"] or ("atelier schedule" if row["served"] and row["active"] else "nothing")
    state = "yes" if row["active"] else "paused"
    names = ("schedule", "config", "cron", "timezone")
    return (*(row[name] for name in names), state, served, row["last_date"], row["last"], row["next_date"])


def _report(problems: list[str], as_json: bool) -> int:
    if as_json:
        print(json.dumps(problems))
    else:
        print("\n".join(problems) or "all schedules are in order")
        say_next("atelier schedule --list shows when each runs")
    return 1 if problems else 0


def backfill(
    revisions: str,
    config: Path | None = None,
    /,
    *,
    changes: Changes = (),
    only: Annotated[tuple[str, ...], Parameter(metavar="FAMILY")] = (),
    plan: bool = False,
    as_json: AsJSON = False,
) -> int:
    """Run a config on each version of its data from one revision to another, oldest first.

    Versions that are done are left out, so the same command resumes. Results of old data are judged, and
    promote no champion.

    Args:
        revisions: REV1..REV2, git revisions or versions, both included; REV1.. goes to the newest
        config: a YAML file (default: the quick start)
        only: run only this family and the families it builds on; repeatable
        plan: list the versions and whether they are done, without touching anything
    """
    from flows import backfill as backfills

    rows = backfills.backfill(config_path(config), revisions, changes, only, plan=plan, say=say)
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print_table(
            ("version", "since", "outcome", "run"),
            [(row.version[:10], row.when[:10], row.outcome, row.run_id) for row in rows],
        )
        say_next(_after(rows))
    return 1 if any(row.failed for row in rows) else 0


def _after(rows: Sequence[Outcome]) -> str:
    """Return what to do after a backfill."""
    runs = [row.run_id for row in rows if row.run_id]
    if any(row.failed for row in rows):
        return "the same command runs again what failed; atelier logs RUN says why"
    if len(runs) < len(rows):
        return "the same command without --plan"
    return f"atelier compare {runs[0]} {runs[-1]}" if len(runs) > 1 else "atelier report serve"


def why(
    schedule: str | None = None,
    /,
    *,
    n: Annotated[int, Parameter(name="-n")] = 1,
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """Explain why the last run of a schedule did not run, or what it computed again and why.

    Only the Prefect server of PREFECT_API_URL knows the dates that it cancelled while another run worked.

    Args:
        schedule: its name (default: the schedule whose run is the newest)
        n: number of runs, newest first
    """
    from components.registry import schedules

    opened = open_named_store(store)
    names = schedules.names(opened) if schedule is None else [schedule]
    if not names:
        raise InputError(f"no scheduled run is recorded in this store; {schedules.AT_ITS_END}")
    entries = [entry for name in names for entry in schedules.history(opened, name, n)]
    if os.environ.get("PREFECT_API_URL"):
        from flows import deployments  # imports Prefect

        with suppress(InputError):  # the server is away
            entries += deployments.cancelled(names, n)
    newest = sorted(entries, key=lambda entry: entry.began or entry.due or "", reverse=True)[:n]
    if as_json:
        print(json.dumps([entry.to_json() for entry in newest]))
        return
    for entry in newest:
        print("\n".join(_lines(entry)))
    say_next("atelier schedule --list shows the next dates; atelier runs lists what was computed")


def _lines(entry: ScheduledRun) -> list[str]:
    """Return an outcome as lines."""
    date = (entry.due or entry.began or "")[:16].replace("T", " ")
    lines = [f"{entry.schedule}, due {date} UTC: {entry.outcome}: {entry.reason}"]
    return lines + [f"  {stage}" for stage in entry.redone]


def automations(
    *, webhook: Annotated[str | None, Parameter(metavar="URL")] = None, remove: bool = False
) -> None:
    """Make the automations of the Prefect server, or bring them up to date.

    Runs that have stopped without a word count as crashed. A web hook is also told of failed runs, new
    champions, pending reviews and unhealthy trainings.

    Args:
        webhook: an address that takes JSON with a text, as of Slack; $NAME: the address in an
            environment variable
        remove: remove the automations
    """
    from flows import automations as code

    names = code.remove() if remove else code.apply(webhook)
    for name in names:
        print(f"{'removed' if remove else 'active'}: {name}")
    if remove:
        say_next("atelier automations makes them again" if names else "nothing: there were no automations")
    else:
        say_next("atelier schedule --check says whether the server's schedules are in order")
