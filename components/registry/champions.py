"""The champions of each data set and task, an append-only history in the store.

    <root>/registry/<data set>/<task>/champions/<n>.json    numbered, never changed; the highest counts
    <root>/registry/<data set>/<task>/champion.json         what consumers read: address, hashes
    <root>/registry/<data set>/<task>/rejections/<n>.json   numbered decisions of people against a model
    <root>/registry/<data set>/<task>/reviews/<run>-<family>.json   results that wait for a decision

An entry is created exclusively, so of two promotions at the same time one fails. A rollback is a new entry.
champion.json is derived from the highest entry, and is written again by the next decision if it was lost.
"""

from __future__ import annotations

from contextlib import suppress

from components.common.errors import InputError
from components.common.hashing import sha256
from components.records.gate import Champion, Judgement, Rejection
from components.store import Store, numbered
from components.store.errors import unless_torn

CHAMPIONS, REJECTIONS, REVIEWS = "champions", "rejections", "reviews"
CURRENT = "champion.json"


class Overtaken(InputError):
    """Another decision about the same data set and task was faster."""


def series(store: Store) -> list[tuple[str, str]]:
    """Return the data sets and tasks that have champions, rejections or reviews."""
    pairs = [
        (data_set, task) for data_set in store.list("registry") for task in store.list(f"registry/{data_set}")
    ]
    kinds = (CHAMPIONS, REJECTIONS, REVIEWS)
    return [pair for pair in pairs if any(_folder(store, *pair).exists(kind) for kind in kinds)]


def history(store: Store, data_set: str, task: str) -> list[Champion]:
    """Return all champions of a data set and task, oldest first.

    Raises:
        InputError: an entry is damaged, or is one of other data.
    """
    folder = _folder(store, data_set, task).child(CHAMPIONS)
    return [_read(folder, number, data_set, task) for number in numbered.numbers(folder)]


def current(store: Store, data_set: str, task: str) -> Champion | None:
    """Return the champion; None if there is none. Reads one entry, however many there are."""
    folder = _folder(store, data_set, task).child(CHAMPIONS)
    number = numbered.highest(folder)
    return _read(folder, number, data_set, task) if number else None


def append(store: Store, champion: Champion) -> Champion:
    """Create an entry, which must be the next one, and write champion.json.

    Raises:
        Overtaken: another process has created this number first.
    """
    of = champion.judgement
    folder = _folder(store, of.data_set, of.task)
    if not numbered.create(folder.child(CHAMPIONS), champion.number, champion.to_json()):
        now = current(store, of.data_set, of.task)
        raise Overtaken(
            f"another promotion was faster: champion {champion.number} of {of.data_set}/{of.task} is "
            f"{now.model.address if now else 'another model'}; judge against it first with --force gate"
        )
    publish_current(store, of.data_set, of.task)
    return champion


def publish_current(store: Store, data_set: str, task: str) -> None:
    """Write champion.json for the highest entry; of several processes, the last one writes the newest."""
    folder = _folder(store, data_set, task)
    written = None
    while (champion := current(store, data_set, task)) and champion.number != written:
        if _number_in(folder) != champion.number:
            folder.write_json(CURRENT, consumed(store, champion))
        written = champion.number


def consumed(store: Store, champion: Champion) -> dict[str, object]:
    """Return the contents of champion.json.

    `url` is the model's address; in a local store it is relative to the store, since a path of this machine
    means nothing elsewhere.
    """
    of, model = champion.judgement, champion.model
    return {
        "schema": 1,
        "data_set": of.data_set,
        "task": of.task,
        "number": champion.number,
        "run_id": model.run_id,
        "family": model.family,
        "url": model.folder if store.is_local else f"{store.url}/{model.folder}",
        "files": [file.to_json() for file in model.files],
        "since": champion.when,
        "override": champion.override,
        "entry": f"{CHAMPIONS}/{numbered.name(champion.number)}",
    }


def rejections(store: Store, data_set: str, task: str) -> list[Rejection]:
    """Return the decisions against models of a data set and task, oldest first."""
    values = numbered.read_all(_folder(store, data_set, task).child(REJECTIONS))
    return [rejection for value in values if (rejection := Rejection.read(value))]


def reject(store: Store, rejection: Rejection) -> Rejection:
    """Record a decision against a model.

    Raises:
        Overtaken: another process has created this number first.
    """
    of = rejection.judgement
    folder = _folder(store, of.data_set, of.task).child(REJECTIONS)
    if not numbered.create(folder, rejection.number, {"schema": 1, **rejection.to_json()}):
        raise Overtaken("another decision was recorded at the same time; repeat the command")
    return rejection


def request_review(store: Store, judgement: Judgement) -> None:
    """Record that a result waits for a decision; it holds nothing."""
    folder = _folder(store, judgement.data_set, judgement.task).child(REVIEWS)
    name = f"{judgement.model.run_id}-{judgement.model.family}.json"
    folder.write_json(name, {"schema": 1, **judgement.to_json()})


def waiting(store: Store, data_set: str, task: str) -> list[Judgement]:
    """Return the results that wait for a decision and have not expired, oldest first."""
    folder = _folder(store, data_set, task).child(REVIEWS)
    judged = [judgement for name in folder.list() if (judgement := Judgement.read(_content(folder, name)))]
    if not (undecided := [judgement for judgement in judged if not judgement.has_expired]):
        return []
    decided = {c.model.weights for c in history(store, data_set, task)}
    decided |= {r.judgement.model.weights for r in rejections(store, data_set, task)}
    return [judgement for judgement in undecided if judgement.model.weights not in decided]


def pending(store: Store) -> list[Judgement]:
    """Return the results of all data sets that wait for a decision, without those of a damaged history."""
    results: list[Judgement] = []
    for pair in series(store):
        with suppress(InputError):
            results += waiting(store, *pair)
    return results


def decided_against(store: Store, data_set: str, task: str, weights: str) -> str | None:
    """Return who rejected or replaced a model by a rollback, when and why; None if nobody did."""
    for rejection in reversed(rejections(store, data_set, task)):
        if rejection.judgement.model.weights == weights:
            return f"rejected by {rejection.who} on {rejection.when[:10]}: {rejection.why}"
    entries = history(store, data_set, task)
    for before, after in reversed(list(zip(entries, entries[1:], strict=False))):
        if after.model.weights == weights:
            return None
        if after.action == "rolled back" and before.model.weights == weights:
            return f"rolled back by {after.who} on {after.when[:10]}: {after.why}"
    return None


def check_files(store: Store, champion: Champion) -> None:
    """Raise InputError if a file of a champion's model is missing or has changed."""
    folder = store.child(champion.model.folder)
    for file in champion.model.files:
        try:
            intact = sha256(folder.read_bytes(file.path)) == file.sha256
        except FileNotFoundError:
            intact = False
        if not intact:
            raise InputError(
                f"the model of {champion.model.address} cannot be the champion: {file.path} in "
                f"{champion.model.folder} is missing or has changed; restore the store from a copy"
            )


def _folder(store: Store, data_set: str, task: str) -> Store:
    return store.child("registry", data_set, task)


def _read(folder: Store, number: int, data_set: str, task: str) -> Champion:
    champion = Champion.read(_content(folder, numbered.name(number)))
    if champion is None:
        raise InputError(
            f"champion {number} of {data_set}/{task} cannot be read (registry/{data_set}/{task}/{CHAMPIONS}/"
            f"{numbered.name(number)}); restore the file from a copy of the store"
        )
    return champion.check(data_set, task)


def _number_in(folder: Store) -> object:
    """Return the number in champion.json; None if it cannot be read."""
    content = _content(folder, CURRENT)
    return content.get("number") if isinstance(content, dict) else None


def _content(folder: Store, name: str) -> object:
    """Return the JSON value in a file; None if it cannot be read."""
    return unless_torn(lambda: folder.read_json(name))
