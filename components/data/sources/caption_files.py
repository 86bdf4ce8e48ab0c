"""Caption files: JSON, JSON lines, CSV or TSV, each naming image files and their captions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.data.sources.names import clean

USUAL = ("captions.json", "captions.jsonl", "captions.csv", "captions.tsv", "metadata.jsonl", "metadata.csv")
FILE_KEYS, TEXT_KEYS = ("file_name", "file", "image", "path"), ("caption", "text", "title", "description")
ACCEPTED = (
    'accepted: .json {"a.png": "caption"}, .jsonl with {"file_name", "text"} a line, '
    ".csv or .tsv with the columns file_name and text"
)


def caption_file(root: Path, asked: str | Path | None) -> Path | None:
    """The captions file to use: the one asked for (below `root` or anywhere), else one of the usual names."""
    if asked is None:
        return next((root / name for name in USUAL if (root / name).is_file()), None)
    for path in (root / asked, Path(asked)):
        if path.is_file():
            return path
    raise InputError(f"captions file {asked} does not exist, neither in {root} nor here")


def read_captions(path: Path, root: Path) -> dict[str, str]:
    """Captions by image path relative to `root`."""
    try:
        rows = list(pairs(path))
    except (ValueError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"captions file {path} cannot be read ({error}); {ACCEPTED}") from None
    if not rows:
        raise InputError(f"captions file {path} is empty; {ACCEPTED}")
    return {Path(name).as_posix(): " ".join(clean(text.replace("\n", " ")).split()) for name, text in rows}


def pairs(path: Path) -> Iterable[tuple[str, str]]:
    """(file, caption) for every row."""
    rows: Iterable[tuple[Any, Any]]
    kind = path.suffix.lower()
    with open(path, encoding="utf-8-sig", newline="") as file:
        if kind == ".json":
            value = json.load(file)
            rows = (
                value.items()
                if isinstance(value, dict)
                else map(pair, value if isinstance(value, list) else [value])
            )
        elif kind == ".jsonl":
            rows = (pair(json.loads(line)) for line in file if line.strip())
        elif kind in (".csv", ".tsv"):
            rows = map(pair, csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ","))
        else:
            raise ValueError(f"unknown kind {kind or 'without ending'}")
        for name, text in rows:
            if not isinstance(name, str) or not isinstance(text, str):
                raise ValueError("a file name or caption is not text")
            yield name, text


def pair(row: Any) -> tuple[Any, Any]:
    """File and caption of one row, whatever the columns are called."""
    if not isinstance(row, dict):
        raise ValueError("a row is not an object")
    name = next((row[key] for key in FILE_KEYS if key in row), None)
    text = next((row[key] for key in TEXT_KEYS if key in row), None)
    if name is None or text is None:
        raise ValueError(
            f"a row lacks a file ({' or '.join(FILE_KEYS)}) or a caption ({' or '.join(TEXT_KEYS)})"
        )
    return name, text
