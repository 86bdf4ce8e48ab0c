"""Remove what a survey found, so that the store is valid at any moment.

An output loses its `_SUCCESS` first, so that it is no result any more. An attempt keeps its result.json
until all else is deleted, so that a later run does not resume the rest of it as an unfinished attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.common.errors import InputError
from components.retention.references import is_held
from components.retention.survey import Item, Survey, survey
from components.store import Store
from components.store.lease import lease

LEASE = "gc"


def collect(
    store: Store,
    days: float,
    runs: Sequence[str] = (),
    progress: Callable[[Item], None] = lambda item: None,
) -> Survey:
    """Remove what may be removed, and return it; runs that begin meanwhile wait. See `survey`.

    Raises:
        InputError: a run or another removal is under way, or something must stay.
    """

    def refuse() -> None:
        raise InputError("another `atelier gc` works on this store; wait until it ends")

    with lease(store, LEASE, on_alive=refuse) as held:
        surveyed = survey(store, days, runs)
        if surveyed.running:
            run_id = surveyed.running[0]
            raise InputError(
                f"run {run_id} is running, so nothing was removed; repeat this when it has ended"
            )
        fenced = store.fenced(held.fence)
        for item in surveyed.items:
            progress(item)
            remove(fenced, item)
    return surveyed


def remove(store: Store, item: Item) -> None:
    """Remove the files of an item; a call after an interruption continues."""
    if item.kind in ("checkpoints", "run"):
        store.delete(item.path)
    elif item.kind == "attempt":
        _remove_attempt(store, item.path)
    else:
        store.delete(f"{item.path}/_SUCCESS")
        for number in store.list(f"{item.path}/attempts"):
            _remove_attempt(store, f"{item.path}/attempts/{number}")
        store.delete(item.path)


def _remove_attempt(store: Store, path: str) -> None:
    result = f"{path}/result.json"
    if not store.exists(result):
        store.write_json(result, {"removed": True})
    for name in store.list(path):
        if name != "result.json":
            store.delete(f"{path}/{name}")
    store.delete(result)
    store.delete(path)  # the folder, where there are folders


def wait_for_removal(store: Store, on_wait: Callable[[], None]) -> None:
    """Return once no removal is under way; called by a run that has its record.

    A removal first takes its lease and then looks for running runs, so one of the two finds the other.
    """
    if is_held(store.child("leases", LEASE)):
        with lease(store, LEASE, on_wait=on_wait):
            pass
