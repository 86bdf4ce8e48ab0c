"""Read captions of image files from JSON, JSON lines, CSV or TSV."""

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


def caption_file(root: Path, name: str | Path | None) -> Path | None:
    """Return the captions file `name`, below `root` or the current folder; None: a usual name, if any."""
    if name is None:
        return next((root / usual for usual in USUAL if (root / usual).is_file()), None)
    for path in (root / name, Path(name)):
        if path.is_file():
            return path
    raise InputError(f"captions file {name} does not exist in {root} or the current folder")


def read_captions(path: Path) -> dict[str, str]:
    """Return the captions by image path.

    Raises:
        InputError: the file is empty or cannot be read.
    """
    try:
        rows = list(pairs(path))
    except (ValueError, csv.Error, RecursionError) as error:
        raise InputError(f"captions file {path} cannot be read ({error}); {ACCEPTED}") from None
    if not rows:
        raise InputError(f"captions file {path} is empty; {ACCEPTED}")
    return {Path(name).as_posix(): " ".join(clean(text.replace("\n", " ")).split()) for name, text in rows}


def pairs(path: Path) -> Iterable[tuple[str, str]]:
    """Yield (file, caption) for every row."""
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
    """Return file and caption of a row, under any of the accepted names."""
    if not isinstance(row, dict):
        raise ValueError("a row is not an object")
    name = next((row[key] for key in FILE_KEYS if key in row), None)
    text = next((row[key] for key in TEXT_KEYS if key in row), None)
    if name is None or text is None:
        raise ValueError(
            f"a row lacks a file ({' or '.join(FILE_KEYS)}) or a caption ({' or '.join(TEXT_KEYS)})"
        )
    return name, text
