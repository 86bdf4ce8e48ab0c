"""Read captions of image files from JSON, JSON lines, CSV or TSV, and from texts beside them."""

from __future__ import annotations

import csv
import json
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from components.common.errors import InputError
from components.data.sources.listing import TEXT, Files, suffix
from components.data.sources.names import clean, displayed

USUAL = ("captions.json", "captions.jsonl", "captions.csv", "captions.tsv", "metadata.jsonl", "metadata.csv")
FILE_KEYS, TEXT_KEYS = ("file_name", "file", "image", "path"), ("caption", "text", "title", "description")
NONE = "none"  # in place of a table: no captions are read
TEXT_BYTES = 1_000_000  # of a text beside an image
ACCEPTED = (
    'accepted: .json {"a.png": "caption"}, .jsonl with {"file_name", "text"} a line, '
    ".csv or .tsv with the columns file_name and text"
)


def captions_of(root: Path, files: Files, name: str | Path | None) -> dict[str, list[str]] | None:
    """Return the captions by image path, all of each image, each once; None: there are none.

    They are in the table `name`, or in all tables with a usual name. Images that no table names have those in
    the texts beside them, if at least half of these images have one. A table names images relative to its own
    folder or to `root`. Files without captions of their own are not changed.

    Raises:
        InputError: the table `name` does not exist, or a table cannot be read.
    """
    if name == NONE:
        return None
    images = {normal(path): path for path in [*files.paths, *sorted(files.refused)]}
    tables = [table(root, name)] if name else usual_tables(root, files.texts)
    captions: dict[str, list[str]] = defaultdict(list)
    for path in tables:
        folder = path.parent.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        for file, text in read_captions(path):
            image = next((images[key] for key in keys(folder, file) if key in images), None)
            if image is None:
                files.unmatched_captions += 1
            elif text not in captions[image]:
                captions[image].append(text)
    if not name:
        captions |= beside(root, files, [path for path in files.paths if path not in captions])
    return dict(captions) if captions or tables else None


def table(root: Path, name: str | Path) -> Path:
    """Return the captions file `name`, below `root` or the current folder; raise InputError without it."""
    for path in (root / name, Path(name)):
        if path.is_file():
            return path
    raise InputError(f"captions file {name} does not exist in {displayed(root)} or the current folder")


def usual_tables(root: Path, texts: Sequence[str]) -> list[Path]:
    """Return the tables with a usual name, in the order of those names and then of their folders."""
    by_folder = sorted(texts, key=lambda path: path.split("/")[:-1])
    return [root / path for usual in USUAL for path in by_folder if PurePosixPath(path).name == usual]


def keys(folder: str, name: str) -> list[str]:
    """Return what the image `name` of a table in `folder` may be called, relative to the images' folder."""
    spellings = dict.fromkeys((name, name.replace("\\", "/")))
    return [normal(posixpath.join(*at, each)) for each in spellings for at in ((folder,), ())]


def normal(path: str) -> str:
    """Return a path without `.` and `..`, in one of the ways to write accents (macOS stores the other)."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def beside(root: Path, files: Files, images: Sequence[str]) -> dict[str, list[str]]:
    """Return the captions in texts beside `images`, one a line: 1.txt beside 1.png; numbers are none."""
    texts = {stem_of(path): path for path in files.texts if suffix(path) == TEXT}
    named = ((path, next((texts[n] for n in (stem_of(path), path) if n in texts), None)) for path in images)
    of_image = {path: text for path, text in named if text is not None}
    if not of_image:
        return {}
    captions = {image: lines(root / path) for image, path in of_image.items()}
    captions = {image: texts for image, texts in captions.items() if texts}
    if 2 * len(captions) >= len(images):
        return captions
    files.notes.append(
        f"{len(of_image)} texts beside images are not read as captions: too few of the "
        f"{len(images)} images without other captions have one, or they are numbers"
    )
    return {}


def stem_of(path: str) -> str:
    """Return a path without the ending of its name."""
    return path.removesuffix(PurePosixPath(path).suffix)


def lines(path: Path) -> list[str]:
    """Return the lines of a text without blank and repeated ones; none if there are no words in them."""
    try:
        text = path.read_text("utf-8-sig") if path.stat().st_size <= TEXT_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return []
    if not any(character.isalpha() for character in text):
        return []  # such as boxes of objects
    return list(dict.fromkeys(line for line in map(tidy, text.splitlines()) if line))


def tidy(text: str) -> str:
    """Return a caption on one line, without control characters."""
    return " ".join(clean(text.replace("\n", " ")).split())


def read_captions(path: Path) -> list[tuple[str, str]]:
    """Return (image path, caption) of every row of a table.

    Raises:
        InputError: the file is empty or cannot be read.
    """
    try:
        rows = list(pairs(path))
    except (ValueError, csv.Error, RecursionError) as error:
        raise InputError(f"captions file {displayed(path)} cannot be read ({error}); {ACCEPTED}") from None
    if not rows:
        raise InputError(f"captions file {displayed(path)} is empty; {ACCEPTED}")
    return [(Path(name).as_posix(), tidy(text)) for name, text in rows]


def pairs(path: Path) -> Iterable[tuple[str, str]]:
    """Yield (file, caption) for every row."""
    rows: Iterable[tuple[Any, Any]]
    kind = path.suffix.lower()
    with open(path, encoding="utf-8-sig", newline="") as file:
        if kind == ".json":
            value = json.load(file, object_pairs_hook=Repeated)
            rows = (
                value.items_as_written
                if isinstance(value, Repeated)
                else map(pair, value if isinstance(value, list) else [value])
            )
        elif kind == ".jsonl":
            rows = (pair(json.loads(line)) for line in file if line.strip())
        elif kind in (".csv", ".tsv"):
            rows = map(pair, csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ","))
        else:
            raise ValueError(f"unknown kind {kind or 'without ending'}")
        for name, text in rows:
            texts = text if isinstance(text, list) and text else [text]
            if not isinstance(name, str) or not all(isinstance(each, str) for each in texts):
                raise ValueError("a file name or caption is not text")
            yield from ((name, each) for each in texts)


class Repeated(dict[str, Any]):
    """A JSON object that also has the values of names that are written repeatedly."""

    def __init__(self, items: list[tuple[str, Any]]):
        super().__init__(items)
        self.items_as_written = items


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
