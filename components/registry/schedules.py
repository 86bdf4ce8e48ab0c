"""The outcomes of scheduled runs in the store: schedules/<name>/<time>-<random>.json, one file each."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from components.common.errors import InputError
from components.common.suggestions import did_you_mean
from components.records.scheduled import ScheduledRun
from components.store import Store
from components.store.errors import unless_torn

FOLDER = "schedules"
KEPT = 400  # outcomes of a schedule, which may be a date of every few minutes
AT_ITS_END = "a run is recorded when it ends; `atelier schedule --list` shows whether one works"


def record(store: Store, entry: ScheduledRun) -> None:
    """Write an outcome; remove the oldest ones beyond `KEPT`."""
    folder = store.child(FOLDER, entry.schedule)
    now = datetime.now(UTC)
    folder.write_json(f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}.json", entry.to_json())
    for old in folder.list()[:-KEPT]:
        with suppress(Exception):  # the next outcome removes it
            folder.delete(old)


def names(store: Store) -> list[str]:
    """Return the schedules that have outcomes in the store."""
    return store.list(FOLDER)


def history(store: Store, name: str, most: int = KEPT) -> list[ScheduledRun]:
    """Return the newest outcomes of a schedule, newest first.

    Raises:
        InputError: there is none.
    """
    existing = names(store)
    if name not in existing:
        raise InputError(
            f"no run of a schedule {name!r} is recorded in this store{did_you_mean(name, existing)}; "
            f"schedules with runs: {', '.join(existing) or 'none'}; {AT_ITS_END}"
        )
    folder = store.child(FOLDER, name)
    files = reversed(folder.list()[-most:])
    entries = (ScheduledRun.read(unless_torn(partial(folder.read_json, file))) for file in files)
    return [entry for entry in entries if entry]
