"""`atelier champions`, `promote`, `reject` and `rollback`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flows.cli.shared import STORE, AsJSON, StoreURL, open_named_store, print_table, say_next

if TYPE_CHECKING:
    from components.records.gate import Champion, Rejection


def champions(data: str | None = None, /, *, as_json: AsJSON = False, store: StoreURL = STORE) -> None:
    """List the champions of all data sets, newest first, and the results that wait for a decision.

    Args:
        data: only those of this data set
    """
    from components.registry import champions as registry

    opened = open_named_store(store)
    series = [pair for pair in registry.series(opened) if data in (None, pair[0])]
    entries = [entry for pair in series for entry in reversed(registry.history(opened, *pair))]
    waiting = [judgement for pair in series for judgement in registry.waiting(opened, *pair)]
    if as_json:
        lists: dict[str, list[Any]] = {"champions": entries, "waiting": waiting}
        print(json.dumps({name: [record.to_json() for record in records] for name, records in lists.items()}))
        return
    newest = {(e.judgement.data_set, e.judgement.task): e.number for e in reversed(entries)}
    current = [w for w in waiting if w.champion == newest.get((w.data_set, w.task), 0)]  # may be promoted
    rows = [
        (
            f"{e.judgement.data_set}/{e.judgement.task}",
            str(e.number),
            "champion" if newest[e.judgement.data_set, e.judgement.task] == e.number else "",
            e.model.address,
            e.action + (f" to {e.restores}" if e.restores else ""),
            "OVERRIDE" if e.override else "",
            e.when[:10],
            e.who,
            e.why,
        )
        for e in entries
    ]
    rows += [
        (
            f"{w.data_set}/{w.task}",
            "-",
            w.word,
            w.model.address,
            f"until {(w.expires or '')[:10]}" if w in current else "judge again: run --force gate",
            "",
            "",
            "",
            "",
        )
        for w in waiting
    ]
    if rows:
        print_table(("data set/task", "number", "state", "model", "action", "", "date", "who", "why"), rows)
    else:
        print("there is no champion yet: the first run's best result becomes the first")
    if current:
        result = f"{current[0].model.run_id} {current[0].model.family}"
        say_next(f"atelier promote {result}, or atelier reject {result} --reason TEXT")
    elif entries:
        model = entries[0].model
        say_next(f"atelier sample {model.run_id} {model.family} -o samples.png draws from it")
    else:
        say_next("atelier run")


def promote(
    run: str, family: str, /, *, reason: str = "", override: bool = False, store: StoreURL = STORE
) -> None:
    """Make a result of a run the champion of its data set and task.

    Args:
        run: a run id, or `latest`
        family: a family of the run
        reason: the reason, kept in the history
        override: promote it although the gate has not blessed it, which the history shows for ever
    """
    from flows import decide

    say_decision(decide.decide(open_named_store(store), run, family, "promote", reason, override=override))


def reject(run: str, family: str, /, *, reason: str = "", store: StoreURL = STORE) -> None:
    """Reject a result of a run, so that the gate does not promote its model.

    Args:
        run: a run id, or `latest`
        family: a family of the run
        reason: the reason (required), kept in the history
    """
    from flows import decide

    say_decision(decide.decide(open_named_store(store), run, family, "reject", reason))


def rollback(
    data: str, task: str | None = None, /, *, reason: str = "", to: int | None = None, store: StoreURL = STORE
) -> None:
    """Return to an earlier champion, as a new entry of the history.

    Args:
        data: a data set
        task: a task, such as generate (default: the only one)
        reason: the reason (required), kept in the history
        to: the number of the champion to return to (default: the model before the current one)
    """
    from flows import decide

    say_decision(decide.rollback(open_named_store(store), data, task, reason, to))


def say_decision(entry: Champion | Rejection) -> None:
    """Print a decision as a line."""
    from components.records import gate as records
    from flows import decide

    print(decide.described(entry))
    data = entry.judgement.data_set
    undone = f"; atelier rollback {data} undoes it" if isinstance(entry, records.Champion) else ""
    say_next(f"atelier champions {data} lists the history{undone}")
