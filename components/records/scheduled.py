"""Record of the outcome of a scheduled run, also of one that was skipped, which has no manifest."""

from __future__ import annotations

from components.records.base import Record

RAN, SKIPPED, UNCHANGED, FAILED = "ran", "skipped", "unchanged", "failed"
CANCELLED = "cancelled"  # by Prefect, before it began; the store has no record of it
COMMAND = "scheduled "  # begins the command of a scheduled run


class ScheduledRun(Record):
    """The outcome of one date of a schedule."""

    schedule: str
    outcome: str  # ran | skipped | unchanged | failed | cancelled
    reason: str
    config: str = ""
    due: str | None = None  # the date of the schedule, in UTC
    began: str | None = None
    ended: str | None = None
    version: str | None = None  # of the data
    run_id: str | None = None  # the run that it made; if unchanged, the newest that has the same results
    flow_run: str | None = None  # Prefect's id
    redone: list[str] = []  # the stages that it computed, each with the reason


def command_of(schedule: str, config: str) -> str:
    """Return what the record of a scheduled run has as its command."""
    return f"{COMMAND}{schedule}: {config}"


def schedule_of(command: str) -> str:
    """Return the schedule that a run with this command was made by; empty if it was none."""
    return command.removeprefix(COMMAND).partition(":")[0] if command.startswith(COMMAND) else ""
