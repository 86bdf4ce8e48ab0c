"""Find the stage outputs of a store that are referred to, and what refers to them.

The roots are the records of runs, champions, results that wait for a decision, pins and held leases. What
they name stays, and so does everything that a result that stays names: its spec's upstream keys and, in the
JSON files of its attempts, the trials of a sweep or the models of an analysis. A reference is any text that
is the key of an existing output, so a kind of reference that this module does not know keeps it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from components.common.errors import InputError
from components.records.run import RunHead
from components.store import Store, numbered
from components.store.errors import MISSING_OR_TORN

KEY = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
RUN = "run "  # begins the reason that a run keeps an output
ATTEMPT = re.compile(r"(?<![0-9a-f])([0-9a-f]{16})/attempts/(\d+)")


@dataclass
class References:
    """The outputs that stay: by key, the reasons and the runs that name them; and the named attempts."""

    reasons: dict[str, str] = field(default_factory=dict)
    # By key: the runs that name an output, or else the first run that names what needs it.
    runs: dict[str, list[str]] = field(default_factory=dict)
    attempts: set[tuple[str, int]] = field(default_factory=set)


def references(store: Store, stages: Mapping[str, str], without: Collection[str] = ()) -> References:
    """Return the references to the outputs of a store.

    Args:
        store: the store.
        stages: the stage of each existing output, by key.
        without: runs whose references do not count.

    Raises:
        InputError: the record of a run cannot be read, so that its references are unknown.
    """
    referred, queue = References(), list[str]()

    def add(reason: str, text: str, runs: list[str]) -> None:
        referred.attempts |= {(key, int(number)) for key, number in ATTEMPT.findall(text)}
        for key in KEY.findall(text):
            if key in stages and key not in referred.reasons:
                referred.reasons[key], referred.runs[key] = reason, list(runs)
                queue.append(key)

    for reason, text in roots(store, without):
        add(reason, text, [])
        if reason.startswith(RUN):
            for key in set(KEY.findall(text)) & referred.runs.keys():
                referred.runs[key].append(reason.removeprefix(RUN))
    while queue:
        key = queue.pop()
        for text in documents(store.child("store", stages[key], key)):
            add(referred.reasons[key], text, referred.runs[key][:1])
    return referred


def roots(store: Store, without: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield everything that keeps outputs, but some runs: the reason, and a text with keys."""
    for run_id in store.list("runs"):
        if run_id not in without and store.exists(f"runs/{run_id}/run.json"):
            yield f"{RUN}{run_id}", _record(store, run_id)
    for path in store.find("registry"):
        if path.endswith(".json") and (reason := _registered(path)):
            yield reason, store.read_text(f"registry/{path}")
    for name in held_leases(store):
        yield f"lease {name}", name


def _record(store: Store, run_id: str) -> str:
    text = store.read_text(f"runs/{run_id}/run.json")
    try:
        if RunHead.read(json.loads(text)):
            return text
    except ValueError:
        pass
    raise InputError(
        f"the record of run {run_id} cannot be read, so what it refers to is unknown; restore "
        f"runs/{run_id}/run.json or delete the folder runs/{run_id}, then repeat the command"
    )


def registered(store: Store, run_id: str) -> list[str]:
    """Return the champions and the reviews that name a run."""
    paths = [path for path in store.find("registry") if path.endswith(".json")]
    named = [path for path in paths if run_id in store.read_text(f"registry/{path}")]
    reasons = [reason for path in named if (reason := _registered(path))]
    return [reason for reason in reasons if not reason.startswith("pin ")]


def _registered(path: str) -> str | None:
    """Return what a file of the registry is: a champion, a review or a pin; None for other files."""
    data_set, kind, *below = path.removesuffix(".json").split("/")
    if below[:1] == ["champions"]:
        return f"champion {below[1]} of {data_set}/{kind}"
    if below[:1] == ["reviews"]:
        return f"review {below[1]} of {data_set}/{kind}"
    return f"pin {below[0]} of {data_set}/{kind}" if len(below) == 1 and below[0].isdecimal() else None


def held_leases(store: Store) -> list[str]:
    """Return the names of leases that their holder has not released; it may be dead."""
    return [name for name in store.list("leases") if is_held(store.child("leases", name))]


def is_held(folder: Store) -> bool:
    """Return whether the lease in a folder is not released."""
    number = numbered.highest(folder)
    try:
        return number > 0 and not folder.read_json(numbered.name(number))["released"]
    except FileNotFoundError:
        return False
    except (*MISSING_OR_TORN, KeyError, TypeError):  # just being written
        return True


def documents(folder: Store) -> Iterator[str]:
    """Yield the JSON files of an output: its spec, and those directly in its attempts."""
    names = ["spec.json"] if folder.exists("spec.json") else []
    for number in folder.list("attempts"):
        names += [f"attempts/{number}/{n}" for n in folder.list(f"attempts/{number}") if n.endswith(".json")]
    for name in names:
        yield folder.read_bytes(name).decode(errors="replace")
