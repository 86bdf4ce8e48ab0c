"""Decide on results that the gate has judged: for the command line, and for the flow in schedule.py."""

from __future__ import annotations

from typing import Literal

from components import report
from components.common.errors import InputError
from components.records.gate import Champion, Rejection
from components.registry import champions, decisions
from components.registry.runs import find_run
from components.store import Store

Verdict = Literal["promote", "reject"]


def decide(
    store: Store, run: str, family: str, verdict: Verdict, reason: str = "", *, override: bool = False
) -> Champion | Rejection:
    """Promote or reject a result of a run, and build its page and the index again.

    Raises:
        InputError: the result cannot be promoted or rejected; nothing was written.
    """
    manifest = find_run(store, run)
    if verdict == "promote":
        entry: Champion | Rejection = decisions.promote(store, manifest, family, reason, override=override)
    else:
        entry = decisions.reject(store, manifest, family, reason)
    rebuild(store, manifest.run_id, entry)
    return entry


def rollback(store: Store, data: str, task: str | None, reason: str, to: int | None = None) -> Champion:
    """Return to an earlier champion of a data set, and build the pages of both runs and the index again.

    Raises:
        InputError: there is no such champion, or `task` is needed.
    """
    tasks = [t for of, t in champions.series(store) if of == data]
    if task is None and len(tasks) > 1:
        raise InputError(f"{data} has champions of {len(tasks)} tasks; name one: {', '.join(tasks)}")
    if not tasks or (task is not None and task not in tasks):
        existing = ", ".join(sorted(f"{of}/{t}" for of, t in champions.series(store))) or "none"
        named = f"{data}/{task}" if task else data
        raise InputError(f"there is no champion of {named}; there are: {existing}")
    entry = decisions.rollback(store, data, task or tasks[0], reason, to)
    rebuild(store, entry.model.run_id, entry)
    return entry


def rebuild(store: Store, run_id: str, entry: Champion | Rejection) -> None:
    """Build the pages of a run and of the run of the champion that was replaced, and the index."""
    history = champions.history(store, entry.judgement.data_set, entry.judgement.task)
    replaced = [before.model.run_id for before in history[-2:]] if isinstance(entry, Champion) else []
    for built in dict.fromkeys([run_id, *replaced]):
        if store.exists(f"runs/{built}/run.json"):
            report.build_run(store, built)
    report.build_index(store, changed=run_id)


def described(entry: Champion | Rejection) -> str:
    """Return a decision as a line."""
    of = f"{entry.judgement.data_set}/{entry.judgement.task}"
    address = entry.judgement.model.address
    if isinstance(entry, Rejection):
        return f"{address} is rejected for {of}: {entry.why}"
    forced = "; the gate had not blessed it, and the history shows this" if entry.override else ""
    return f"{address} is champion {entry.number} of {of} ({entry.action}){forced}"
