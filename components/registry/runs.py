"""Find runs in a store, by id or as `latest`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from components.common.errors import InputError
from components.common.suggestions import did_you_mean
from components.store import Store
from components.store.errors import unless_torn

if TYPE_CHECKING:
    from components.records.run import RunHead, RunManifest

LATEST = "latest"

Head = TypeVar("Head", bound="RunHead")


def read_record(store: Store, run_id: str, kind: type[Head]) -> Head | None:
    """Return run.json of a run as a record of class `kind`; None if it cannot be read."""
    return kind.read(unless_torn(lambda: store.read_json(f"runs/{run_id}/run.json")))


def newest_first(
    store: Store, kind: type[Head], *, before: str | None = None, most: int | None = None
) -> Iterator[Head]:
    """Yield the records of the runs in a store, newest first, without those that cannot be read.

    Args:
        store: the store of the runs.
        kind: the class to read each as.
        before: a run id: only older runs.
        most: how many runs to read.
    """
    run_ids = [run_id for run_id in reversed(store.list("runs")) if before is None or run_id < before]
    for run_id in run_ids[:most]:
        if record := read_record(store, run_id, kind):
            yield record


def find_run(store: Store, run_id: str, kind: str | None = None) -> RunManifest:
    """Return the record of a run; `latest` is the newest, or the newest of a kind: run or sweep.

    Raises:
        InputError: there is no such run.
    """
    from components.records.run import RunHead, RunManifest  # imports pydantic

    run_ids = store.list("runs")
    asked = run_id
    if run_id == LATEST and run_ids:
        heads = ((name, read_record(store, name, RunHead)) for name in reversed(run_ids))
        run_id = next((name for name, head in heads if head and kind in (None, head.kind)), LATEST)
    manifest = read_record(store, run_id, RunManifest) if run_id in run_ids else None
    if manifest is None and not run_ids:
        raise InputError(f"there is no run {asked!r}: {empty(store)}")
    if manifest is None:
        raise InputError(
            f"there is no run {asked!r} in the store{did_you_mean(asked, run_ids)}; `atelier runs` lists "
            f"{len(run_ids)}, and `{LATEST}` is the newest"
        )
    return manifest


def newest_with(store: Store, family: str | None) -> RunManifest:
    """Return the record of the newest run that has a model of a family; None: of any.

    Raises:
        InputError: there is none.
    """
    from components.records.run import RunManifest  # imports pydantic

    families: dict[str, None] = {}
    for run in newest_first(store, RunManifest):
        if run.models and family in (None, *run.models):
            return run
        families |= dict.fromkeys(run.models)
    if not store.list("runs"):
        raise InputError(empty(store))
    if not families:
        raise InputError(
            f"no run in {store.url} has a model yet: a run exports one of each family at its end; "
            "`atelier runs` lists them, and the same `atelier run` continues one that was interrupted"
        )
    raise InputError(
        f"no run in the store has a model of family {family!r}{did_you_mean(family or '', families)}; "
        f"known: {', '.join(families)}"
    )


def empty(store: Store) -> str:
    """Return what to do in a store without runs."""
    return f"{store.url} has no run yet; `atelier run` begins the first, and --store URL names another store"
