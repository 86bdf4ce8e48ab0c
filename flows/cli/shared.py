"""What several commands share: the store option, run ids, tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.paths import home

STORE = "output"


def add_command(
    commands: Any, name: str, function: Callable[..., int | None], text: str
) -> argparse.ArgumentParser:
    """A new command that calls `function` with its options."""
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    added.set_defaults(command=function)
    return added


def add_store(command: argparse.ArgumentParser) -> None:
    """Add the option `--store`."""
    command.add_argument(
        "--store", default=STORE, help=f"the store: a folder or any fsspec URL (default: {STORE})"
    )


def model_folder(run: str, family: str | None, store: str) -> tuple[Path, dict[str, str]]:
    """The folder of an exported model, and the folders of its run's stages; `run` may be such a folder.

    Raises:
        InputError: the run has no model of the family.
    """
    if is_model(run):
        return Path(run), {}
    opened = open_named_store(store)
    record = find_run(opened, run)
    places, models = stage_folders(record)
    if family not in models:
        known = ", ".join(models) or "none"
        raise InputError(f"run {record['run_id']} has no model of family {family!r}; it has: {known}")
    return opened.local_copy(models[family]), places


def is_model(folder: str) -> bool:
    """Whether a folder holds an exported model."""
    return (Path(folder) / "model.safetensors").exists()


def stage_folders(record: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The folders of a run's finished stages by their name, and those of its exported models by family."""
    there = [s for s in record["stages"] if s["state"] in ("ran", "cached")]
    folders = [(s, f"{s['uri']}/attempts/{s['attempt']}") for s in there]
    exported = {s["family"]: folder for s, folder in folders if s["name"] == "export"}
    return {s["name"]: folder for s, folder in folders}, exported


def say(text: str) -> None:
    """Progress goes to standard error."""
    print(text, file=sys.stderr)


def open_named_store(url: str) -> Any:
    """The store that `--store` names."""
    from components.store import open_store

    return open_store(url, home())


def read_record(store: Any, run_id: str) -> dict[str, Any] | None:
    """The run.json of a run; None if it cannot be read."""
    try:
        record: dict[str, Any] = store.read_json(f"runs/{run_id}/run.json")
    except (FileNotFoundError, ValueError):
        return None
    return record


def find_run(store: Any, run_id: str, kind: str | None = None) -> dict[str, Any]:
    """The record of a run; `last` is the newest, or the newest of a kind: run or sweep."""
    known = store.list("runs")
    if run_id == "last" and known:
        of_kind = (one for one in reversed(known) if (read_record(store, one) or {}).get("kind") == kind)
        run_id = known[-1] if kind is None else next(of_kind, known[-1])
    record = read_record(store, run_id) if run_id in known else None
    if record is None:
        raise InputError(f"there is no run {run_id!r} in the store; `atelier runs` lists {len(known)}")
    return record


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows of the same fields as JSON or as a table."""
    if as_json:
        print(json.dumps(rows))
    elif rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Plain columns, which other programs can read too."""
    cells = [[str(cell) if cell is not None else "-" for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
