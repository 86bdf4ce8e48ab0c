"""What several commands share: options, the store, run ids, tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from components.common.errors import InputError
from components.common.paths import home
from components.store import Store, open_store

STORE = "output"
LATEST = "latest"
LOST = timedelta(minutes=2)  # a run writes its record several times a minute

AsJSON = Annotated[bool, Parameter("--json", help="print the result as JSON")]
Changes = Annotated[tuple[str, ...], Parameter("--set", metavar="a.b=c", help="change a setting; repeatable")]
Forced = Annotated[
    tuple[str, ...], Parameter("--force", metavar="STAGE", help="run a stage although it is done; repeatable")
]
StoreURL = Annotated[str, Parameter("--store", metavar="URL", help="the store: a folder or any fsspec URL")]


def model_folder(run: str, family: str | None, url: str) -> tuple[Path, dict[str, str]]:
    """The folder of an exported model, and the folders of its run's stages; `run` may be such a folder.

    Raises:
        InputError: the run has no model of the family.
    """
    if is_model(run):
        return Path(run), {}
    store = open_named_store(url)
    record = find_run(store, run)
    stages, models = stage_folders(record)
    if family not in models:
        names = ", ".join(models) or "none"
        raise InputError(f"run {record['run_id']} has no model of family {family!r}; it has: {names}")
    return store.local_copy(models[family]), stages


def is_model(folder: str) -> bool:
    """Whether a folder holds an exported model."""
    return (Path(folder) / "model.safetensors").exists()


def stage_folders(record: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The folders of a run's finished stages by their name, and those of its exported models by family."""
    finished = [stage for stage in record["stages"] if stage["state"] in ("ran", "cached")]
    folders = [(stage, f"{stage['uri']}/attempts/{stage['attempt']}") for stage in finished]
    exported = {stage["family"]: folder for stage, folder in folders if stage["name"] == "export"}
    return {stage["name"]: folder for stage, folder in folders}, exported


def say(text: str) -> None:
    """Print progress, on standard error."""
    print(text, file=sys.stderr)


def open_named_store(url: str) -> Store:
    """The store that `--store` names."""
    return open_store(url, home())


def read_record(store: Store, run_id: str) -> dict[str, Any] | None:
    """The run.json of a run; None if it cannot be read."""
    try:
        record: dict[str, Any] = store.read_json(f"runs/{run_id}/run.json")
    except (FileNotFoundError, ValueError):
        return None
    return record


def status_of(record: dict[str, Any]) -> str:
    """A run's status; `lost` if it is recorded as running but has stopped updating its record."""
    silent = datetime.now(UTC) - datetime.fromisoformat(record["heartbeat"])
    return "lost" if record["status"] == "running" and silent > LOST else str(record["status"])


def find_run(store: Store, run_id: str, kind: str | None = None) -> dict[str, Any]:
    """The record of a run; `latest` is the newest, or the newest of a kind: run or sweep."""
    run_ids = store.list("runs")
    if run_id == LATEST and run_ids:
        of_kind = (one for one in reversed(run_ids) if (read_record(store, one) or {}).get("kind") == kind)
        run_id = run_ids[-1] if kind is None else next(of_kind, run_ids[-1])
    record = read_record(store, run_id) if run_id in run_ids else None
    if record is None:
        raise InputError(
            f"there is no run {run_id!r} in the store; `atelier runs` lists {len(run_ids)}, "
            f"and `{LATEST}` is the newest"
        )
    return record


def print_rows(rows: list[dict[str, Any]], as_json: bool = False) -> None:
    """Print rows of the same fields as JSON or as a table."""
    if as_json:
        print(json.dumps(rows))
    elif rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print plain columns, which other programs can read too."""
    cells = [[str(cell) if cell is not None else "-" for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
