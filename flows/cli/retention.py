"""`atelier gc`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from components.common.errors import InputError
from components.common.paths import home
from components.common.units import size
from components.registry.runs import find_run
from components.store import Store
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    counted,
    open_named_store,
    print_table,
    progress_shown,
    say,
    say_next,
)

if TYPE_CHECKING:
    from components.retention.survey import Survey

REASONS = 5  # for which outputs stay, that are summed up


def gc(
    *,
    apply: bool = False,
    days: float = 7.0,
    runs: Annotated[tuple[str, ...], Parameter("--run", metavar="ID")] = (),
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """Show what may be removed from the store and why the rest stays; with --apply, remove it.

    It removes outputs of stages that no run, champion, review, pin or held lease refers to, superseded
    attempts, and checkpoints of finished attempts.

    Args:
        apply: remove it; the default only shows it
        days: keep what is newer than this many days
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
    freed = f"{size(surveyed.bytes)} in {counted(len(surveyed.items), 'place')}"
    print(f"freed {freed}" if apply else f"would free {freed}")
    for line in staying(opened, surveyed, days):
        print(line)
    say(beside(opened))
    if surveyed.running:
        say(f"run {surveyed.running[0]} is running: --apply is possible when it has ended")
    elif not apply and surveyed.items:
        say_next(f"the same command with --apply removes it{'; what is published stays' if runs else ''}")
    elif not apply:
        spared = "; --days 0 also shows what is new" if days else ""
        say_next(f"--run ID removes a run with all that only it refers to{spared}")


def staying(store: Store, surveyed: Survey, days: float) -> list[str]:
    """Return what stays by reason, the largest first, with the option that would free it."""
    from components.retention.references import registered
    from components.retention.survey import NAMED, new

    totals: Counter[str] = Counter()
    for item in surveyed.staying:
        totals[item.why] += item.bytes
    runs = {item.why: item.runs for item in surveyed.staying if len(item.runs) <= NAMED}

    options = {new(days): "--days 0 frees it"}
    lines = []
    listed = REASONS + (len(totals) == REASONS + 1)  # rather than "1 other reason"
    for why, taken in totals.most_common(listed):
        if ids := runs.get(why):
            named = [reason for run_id in ids for reason in registered(store, run_id)]
            asked = " ".join(f"--run {run_id}" for run_id in ids)
            freed = f"{asked} frees what nothing else refers to"
            options[why] = f"{named[0]} needs it" if named else freed  # such a run cannot be removed
        lines.append(f"stays: {size(taken)}: {why}{'; ' * (why in options)}{options.get(why, '')}")
    if others := totals.most_common()[listed:]:
        more = counted(len(others), "other reason")
        lines.append(f"stays: {size(sum(n for _, n in others))}: {more}, listed above")
    return lines


def beside(store: Store) -> str:
    """Return what else takes space in the project and in its store, and is not removed by `atelier gc`."""
    folders = {f"{name}/": str(home() / name) for name in ("data", ".atelier", "published")}
    others = {name: Store(at) for name, at in folders.items() if at != store.url}
    places = [f"beside the store {taken}"] if (taken := sizes_of(others)) else []
    if store.is_local:  # to list another may take long
        published = sizes_of({"published/": store.child("published")})
        places += [f"in the store {published}"] if published else []
    return f"not removed by gc: {'; '.join(places) or 'nothing beside the store'}"


def sizes_of(folders: Mapping[str, Store]) -> str:
    """Return the names and sizes of folders that are not empty."""
    taken = {name: sum(folder.sizes().values()) for name, folder in folders.items()}
    return ", ".join(f"{name} {size(bytes_)}" for name, bytes_ in taken.items() if bytes_)
