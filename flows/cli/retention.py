"""`atelier gc`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from components.common.errors import InputError
from components.common.units import size
from components.registry.runs import find_run
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    open_named_store,
    print_table,
    progress_shown,
    say,
    say_next,
)


def gc(
    *,
    apply: bool = False,
    days: float = 7.0,
    runs: Annotated[tuple[str, ...], Parameter("--run", metavar="ID")] = (),
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """Show what may be removed from the store and why the rest stays; with --apply, remove it.

    Outputs of stages go that no run, champion, review, pin or held lease refers to, and superseded attempts
    and checkpoints of finished ones.

    Args:
        apply: remove it; the default only shows it
        days: keep what was made in the last days
        runs: a run to remove with its page and all that only it refers to, however new; repeatable
    """
    from components import report
    from components.retention import remove, survey

    if days < 0:
        raise InputError(f"--days {days:g} is not possible; accepted: 0 or more")
    opened = open_named_store(store)
    with progress_shown("survey the store"):
        named = [find_run(opened, run).run_id for run in runs]
        surveyed = (remove.collect if apply else survey.survey)(opened, days, named)
        if apply and named:
            report.build_index(opened)
    if as_json:
        print(json.dumps({"applied": apply, "bytes": surveyed.bytes, **asdict(surveyed)}))
        return
    rows = [
        ("removed" if apply else "remove", item.path, size(item.bytes), item.why) for item in surveyed.items
    ]
    rows += [("keep", stays.path, size(stays.bytes), stays.why) for stays in surveyed.staying]
    if rows:
        print_table(("", "path", "size", "because"), rows)
    freed = f"{size(surveyed.bytes)} in {len(surveyed.items)} places"
    print(f"freed {freed}" if apply else f"would free {freed}")
    if surveyed.running:
        say(f"run {surveyed.running[0]} is running: --apply is possible when it has ended")
    elif not apply and surveyed.items:
        say_next(f"the same command with --apply removes it{'; what is published stays' if runs else ''}")
    elif not apply:
        say_next(
            "--run ID removes a run with all that only it refers to; --days 0 spares nothing for being new"
        )
