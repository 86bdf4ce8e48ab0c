"""Shared by several commands: options, the store, run ids, tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from components.common.errors import InputError
from components.common.paths import home
from components.common.progress import watched_by
from components.common.public import without_secrets
from components.common.suggestions import did_you_mean
from components.registry.runs import LATEST, find_run, newest_with
from components.store import Store, open_store

if TYPE_CHECKING:
    from components.records.run import RunManifest

STORE = "output"

AsJSON = Annotated[bool, Parameter("--json", help="print the result as JSON")]
Changes = Annotated[tuple[str, ...], Parameter("--set", metavar="a.b=c", help="change a setting; repeatable")]
Forced = Annotated[
    tuple[str, ...], Parameter("--force", metavar="STAGE", help="run a stage although it is done; repeatable")
]
StoreURL = Annotated[str, Parameter("--store", metavar="URL", help="the store: a folder or any fsspec URL")]


def model_folder(run: str, family: str | None, url: str) -> tuple[Path, RunManifest | None]:
    """Return the folder of an exported model, and its run.

    `run` may be such a folder or its URL, or those of a published run; these have no run of the store.
    `latest` is the newest run with a model of the family.

    Raises:
        InputError: the run has no model of the family, or several models and no family is named.
    """
    if is_model(run):
        return Path(run), None
    published = is_model(f"{run}/models/{family}")
    if published or "://" in run:
        from components.registry.models import local_model

        return local_model(str(Path(run).absolute()) if published else run, family), None
    store = open_named_store(url)
    manifest = newest_with(store, family) if run == LATEST else find_run(store, run)
    name = only_model(manifest) if family is None else family
    if name not in manifest.models:
        raise InputError(no_model(manifest, name))
    return store.local_copy(manifest.models[name]), manifest


def only_model(manifest: RunManifest) -> str:
    """Return the family of the only model of a run; raise InputError if it has several, or none."""
    if not manifest.models:
        raise InputError(no_model(manifest, ""))
    if len(manifest.models) > 1:
        names = ", ".join(manifest.models)
        raise InputError(f"run {manifest.run_id} has several models: name a family after it; it has: {names}")
    return next(iter(manifest.models))


def no_model(manifest: RunManifest, family: str) -> str:
    """Return why a run has no model of a family, and what to do, as a sentence."""
    run_id, models = manifest.run_id, manifest.models
    if models:
        names = ", ".join(models)
        return (
            f"run {run_id} has no model of family {family!r}{did_you_mean(family, models)}; it has: {names}"
        )
    if manifest.standing == "running":
        return f"run {run_id} has no model yet: it exports one of each family at its end"
    again = f": continue it with `{manifest.command}`" if manifest.command else ""
    return f"run {run_id} ended {manifest.standing}, without a model{again}; `atelier runs` lists others"


def after_looking(run: RunManifest, other: str) -> str:
    """Return what to do after a look at a run, as commands; `other`: another look at one that is done."""
    if run.standing == "running":
        return f"atelier logs {run.run_id} --follow"
    if run.standing in ("done", "partial"):
        return other
    return f"{run.command or 'the same atelier run'} continues it; atelier doctor checks this machine"


def named(run: str, family: str | None) -> str:
    """Return a model as it is named on the command line."""
    return f"{quote(run)} {family}" if family else quote(run)


def is_model(folder: str) -> bool:
    """Return whether a folder holds an exported model."""
    return (Path(folder) / "model.safetensors").exists()


def say(text: str) -> None:
    """Print a progress message on standard error, without credentials."""
    print(without_secrets(text), file=sys.stderr)


@contextmanager
def progress_shown(activity: str, output: Path | None = None) -> Iterator[None]:
    """Show on standard error what work takes and how far it is, once it has taken two seconds.

    Args:
        activity: what is done, in a word, until the work itself reports its progress (common.progress).
        output: a file or folder that it writes; a sentence says how large it becomes.
    """
    from flows.progress import CommandProgress, ProgressDisplay

    with ProgressDisplay() as display:
        progress = CommandProgress(display, activity, output)
        try:
            with watched_by(progress):
                yield
        finally:
            progress.stop()


def say_next(command: str) -> None:
    """Print what to do next, the last line of a command."""
    say(f"next: {command}")


def open_named_store(url: str) -> Store:
    """Return the store that `--store` names."""
    return open_store(url, home())


def counted(number: int, noun: str, several: str = "") -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool = False) -> None:
    """Print rows of the same fields as JSON or as a table."""
    if as_json:
        print(json.dumps(rows))
    elif rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print plain columns, which other programs can read."""
    cells = [[str(cell) if cell is not None else "-" for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
