"""`atelier gc`."""

from __future__ import annotations

import json
from dataclasses import asdict

from components.common.errors import InputError
from flows.cli.shared import STORE, AsJSON, StoreURL, open_named_store, print_table, say


def gc(*, apply: bool = False, days: float = 7.0, as_json: AsJSON = False, store: StoreURL = STORE) -> None:
    """Show what may be removed from the store and why the rest stays; with --apply, remove it.

    Outputs of stages go that no run, champion, review, pin or held lease refers to, and superseded attempts
    and checkpoints of finished ones.

    Args:
        apply: remove it; the default only shows it
        days: keep what was made in the last days
    """
    from components.report.formatting import size
    from components.retention import remove, survey

    if days < 0:
        raise InputError(f"--days {days:g} is not possible; accepted: 0 or more")
    opened = open_named_store(store)
    surveyed = remove.collect(opened, days) if apply else survey.survey(opened, days)
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
    print(f"freed {freed}" if apply else f"would free {freed}; `atelier gc --apply` removes it")
    if surveyed.running:
        say(f"run {surveyed.running[0]} is running: --apply is possible when it has ended")
