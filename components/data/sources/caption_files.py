"""Read captions of image files from JSON, JSON lines, CSV or TSV, and from texts beside them."""

from __future__ import annotations

import csv
import json
import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from components.common.errors import InputError
from components.common.names import clean, displayed
from components.data.sources.listing import TABLES, TEXTS, Files, stem_of, suffix, wrapper

USUAL = (
    *("captions.json", "captions.jsonl", "captions.csv", "captions.tsv"),
    *("metadata.jsonl", "metadata.csv", "metadata.tsv"),
    "captions.txt",  # with a header, as of Flickr8k
)
FILE_KEYS = ("file_name", "file", "image", "path", "filename", "image_name")
TEXT_KEYS = ("caption", "text", "title", "description", "prompt", "comment")
DELIMITERS = ",;\t|"
NONE = "none"  # in place of a table: no captions are read
TEXT_BYTES = 1_000_000  # of a text beside an image
ACCEPTED = (
    'accepted: .json {"a.png": "caption"}, .jsonl with {"file_name", "text"} a line, '
    ".csv, .tsv or .txt with the columns file_name and text, all in UTF-8; --captions none reads no table"
)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # beginnings of texts
NAMED = 3  # files in a note
BEGINNING = 10_000  # characters of a text in which names of images are looked for
LABELS = "dataset.json"  # another table, see label_files.py


class NoCaptions(ValueError):
    """A table has rows of files, but no captions."""


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
    captions: dict[str, list[str]] = defaultdict(list)
    tables = [table(root, name)] if name else usual_tables(root, files.texts)
    images = by_name([*files.paths, *sorted(files.refused)]) if tables else {}
    read = [path for path in tables if add_table(root, path, files, images, captions, asked=bool(name))]
    if not name:
        captions |= beside(root, files, [path for path in files.paths if path not in captions])
        note_unread(root, files, {path.relative_to(root).as_posix() for path in tables})
    return dict(captions) if captions or read else None


def add_table(
    root: Path,
    path: Path,
    files: Files,
    images: Mapping[str, str],
    captions: dict[str, list[str]],
    *,
    asked: bool,
) -> bool:
    """Add the captions of a table to those of the images; return whether it has any.

    Raises:
        InputError: it cannot be read, or has none although it was asked for.
    """
    try:
        rows = read_captions(path)
    except NoCaptions as error:
        if asked:
            raise InputError(
                f"captions file {displayed(path)} cannot be read ({error}); {ACCEPTED}"
            ) from None
        files.notes.append(f"{displayed(path.relative_to(root))} is not read: {error}")
        return False
    folder, tops = os.path.abspath(path.parent), {os.path.abspath(root), os.path.realpath(root)}
    inside = wrapper(files.paths)
    for file, text in rows:
        image = next((images[key] for key in keys(tops, folder, inside, file) if key in images), None)
        if image is None:
            files.unmatched_captions += 1
            files.unmatched_example = files.unmatched_example or displayed(file)
        elif text not in captions[image]:
            captions[image].append(text)
    return True


def by_name(paths: Sequence[str]) -> dict[str, str]:
    """Return images by what tables call them: their path, or without its ending if that is of one image."""
    stems = Counter(stem_of(normal(path)) for path in paths)
    short = {stem: path for path in paths if stems[stem := stem_of(normal(path))] == 1}
    return short | {normal(path): path for path in paths}


def table(root: Path, name: str | Path) -> Path:
    """Return the captions file `name`, below `root` or the current folder; raise InputError without it."""
    for path in (root / name, Path(name)):
        if path.is_file():
            return path
    raise InputError(f"captions file {name} does not exist in {displayed(root)} or the current folder")


def usual_tables(root: Path, texts: Sequence[str]) -> list[Path]:
    """Return the tables with a usual name, in the order of those names and then of their folders."""
    by_folder = sorted(texts, key=lambda path: path.split("/")[:-1])
    tables = [root / path for usual in USUAL for path in by_folder if PurePosixPath(path).name == usual]
    return [path for path in tables if path.suffix != ".txt" or has_header(path)]


def has_header(path: Path) -> bool:
    """Return whether the first line of a text names a column of files and one of captions."""
    try:
        with open(path, encoding=encoding_of(path), newline="") as file:
            names = set(map(column, csv.DictReader(file, delimiter=delimiter(file)).fieldnames or []))
    except (OSError, UnicodeError, csv.Error):
        return False
    return bool(names & set(FILE_KEYS) and names & set(TEXT_KEYS))


def keys(tops: Collection[str], folder: str, inside: str, name: str) -> list[str]:
    """Return what the image `name` of a table may be called, relative to the images' folder.

    Args:
        tops: the images' folder, as absolute paths; a table may be outside of it.
        folder: that of the table, absolute; names are relative to it or to the images' folder.
        inside: the folder that has all images, to which names may be relative too.
        name: as the table has it; absolute, or with the separators of Windows.
    """
    spellings = dict.fromkeys((name, name.replace("\\", "/")))
    places = [posixpath.normpath(posixpath.join(folder, each)) for each in spellings]
    below = [place.removeprefix(f"{top}/") for place in places for top in tops if place.startswith(f"{top}/")]
    relative = [each for each in spellings if not each.startswith("/")]
    return [normal(each) for each in (*below, *relative, *(inside + each for each in relative))]


def normal(path: str) -> str:
    """Return a path without `.` and `..`, in one of the ways to write accents (macOS stores the other)."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def beside(root: Path, files: Files, images: Sequence[str]) -> dict[str, list[str]]:
    """Return the captions in texts beside `images`, one a line: 1.txt beside 1.png; numbers are none."""
    texts = {stem_of(path): path for path in files.texts if suffix(path) in TEXTS}
    named = ((path, next((texts[n] for n in (stem_of(path), path) if n in texts), None)) for path in images)
    of_image = {path: text for path, text in named if text is not None}
    if not of_image:
        return {}
    texts_of = {image: lines(root / path) for image, path in of_image.items()}
    captions = {image: texts for image, texts in texts_of.items() if texts}
    if unknown := [of_image[image] for image, texts in texts_of.items() if texts is None]:
        files.notes.append(f"not read as captions, since they are not in UTF-8: {some(unknown)}")
    if 2 * len(captions) >= len(images):
        return captions
    if len(unknown) < len(of_image):
        files.notes.append(
            f"{len(of_image) - len(unknown)} texts beside images are not read as captions: too few of the "
            f"{len(images)} images without other captions have one, or they are numbers"
        )
    return {}


def note_unread(root: Path, files: Files, tables: Collection[str]) -> None:
    """Note the tables with other than usual names, and texts that are not beside images but may be of them.

    A table beside an image describes it, in other tools, and is not noted.
    """
    stems = {stem_of(path) for path in files.paths}
    other = [path for path in files.texts if suffix(path) in TABLES and path not in tables]
    unread = [path for path in other if stem_of(path) not in stems and PurePosixPath(path).name != LABELS]
    if unread:
        files.notes.append(f"not read: {some(unread)}; --captions FILE reads the captions in a table")
    apart = [path for path in files.texts if suffix(path) in TEXTS and stem_of(path) not in stems]
    if apart and 2 * len(apart) >= len(files.paths):
        files.notes.append(f"not read as captions, since they are not beside their images: {some(apart)}")
        return
    names = {path.rpartition("/")[2] for path in files.paths if suffix(path)}
    if naming := [path for path in apart if path not in tables and begins_with_any(root / path, names)]:
        files.notes.append(f"not read, although they name images: {some(naming)}")


def begins_with_any(path: Path, names: Collection[str]) -> bool:
    """Return whether the beginning of a text has one of the file names, as tables of other tools do."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            words = re.split(r"[\s,;|#\"]+", file.read(BEGINNING))
    except OSError:
        return False
    return any(word.rpartition("/")[2] in names for word in words)


def some(paths: Sequence[str]) -> str:
    """Return the first of some files, and how many there are besides."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(map(displayed, paths[:NAMED])) + more


def lines(path: Path) -> list[str] | None:
    """Return the lines of a text without blank and repeated ones; none without words; None: not in UTF-8."""
    try:
        text = path.read_text(encoding_of(path)) if path.stat().st_size <= TEXT_BYTES else ""
    except OSError:
        return []
    except UnicodeError:
        return None
    if not any(character.isalpha() for character in text):
        return []  # such as boxes of objects
    return list(dict.fromkeys(line for line in map(tidy, text.splitlines()) if line))


def encoding_of(path: Path) -> str:
    """Return the encoding that the first bytes of a text state, else UTF-8."""
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in UTF_16 else "utf-8-sig"


def tidy(text: str) -> str:
    """Return a caption on one line, without control characters."""
    return " ".join(clean(text.replace("\n", " ")).split())


def read_captions(path: Path) -> list[tuple[str, str]]:
    """Return (image path, caption) of every row of a table that has a caption.

    Raises:
        InputError: the file is empty or cannot be read.
        NoCaptions: no row has one.
    """
    try:
        rows = list(pairs(path))
    except UnicodeError:
        raise refusal(path, "it is not in UTF-8: convert it") from None
    except NoCaptions:
        raise
    except (ValueError, KeyError, TypeError, csv.Error, RecursionError) as error:
        raise refusal(path, error) from None
    if not rows:
        raise refusal(path, "it is empty")
    return [(Path(name).as_posix(), tidy(text)) for name, text in rows]


def refusal(path: Path, why: object) -> InputError:
    """Return the error for a table that cannot be read."""
    return InputError(f"captions file {displayed(path)} cannot be read ({why}); {ACCEPTED}")


def pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, caption) for every row; raise NoCaptions if there are rows, but no captions."""
    empty, has_any = False, False
    with open(path, encoding=encoding_of(path), newline="") as file:
        for name, text in rows_of(file, path.suffix.lower()):
            texts = text if isinstance(text, list) and text else [text]
            texts = [each for each in texts if each == each]  # without NaN, which pandas writes for no text
            if not isinstance(name, str) or not all(isinstance(each, str | None) for each in texts):
                raise ValueError("a file name or caption is not text")
            nonempty = [each for each in texts if each]
            empty, has_any = empty or not nonempty, has_any or bool(nonempty)
            yield from ((name, each) for each in nonempty)
    if empty and not has_any:
        raise NoCaptions(f"no row has a caption ({' or '.join(TEXT_KEYS)})")


def rows_of(file: TextIO, kind: str) -> Iterable[tuple[Any, Any]]:
    """Return (file, caption) of every row of an opened table."""
    if kind == ".json":
        value = json.load(file, object_pairs_hook=Repeated)
        if isinstance(value, Repeated) and {"images", "annotations"} <= value.keys():
            return coco(value)
        if isinstance(value, Repeated):
            return value.items_as_written
        return map(pair, value if isinstance(value, list) else [value])
    if kind == ".jsonl":
        return (pair(json.loads(line)) for line in file if line.strip())
    if kind in (".csv", ".tsv", ".txt"):
        between = "\t" if kind == ".tsv" else delimiter(file)
        return map(pair, csv.DictReader(file, delimiter=between, skipinitialspace=True))
    raise ValueError(f"unknown kind {kind or 'without ending'}")


def delimiter(file: TextIO) -> str:
    """Return what separates the columns of a table, by its first line, and go to the line of their names."""
    first = file.readline(TEXT_BYTES)
    if first.lower().startswith("sep="):  # for Excel; the names are in the next line
        return first[4:].strip("\r\n")[:1] or ","
    file.seek(0)
    lines = {each: next(csv.reader([first], delimiter=each), []) for each in DELIMITERS}
    return next((each for each, names in lines.items() if set(FILE_KEYS) & set(map(column, names))), ",")


def column(name: object) -> str:
    """Return the name of a column in lower case and without blanks around it."""
    return str(name).strip().lower()


def coco(value: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield file and caption of each annotation in the form of the COCO data set."""
    names = {image["id"]: image["file_name"] for image in value["images"]}
    for annotation in value["annotations"]:
        yield names[annotation["image_id"]], annotation.get("caption")


class Repeated(dict[str, Any]):
    """A JSON object that also has the values of names that are written repeatedly."""

    def __init__(self, items: list[tuple[str, Any]]):
        super().__init__(items)
        self.items_as_written = items


def pair(row: Any) -> tuple[Any, Any]:
    """Return file and caption of a row, under any of the accepted names; None: it has no caption."""
    if not isinstance(row, dict):
        raise ValueError("a row is not an object")
    if None in row:  # what csv.DictReader has no column for
        raise ValueError(
            "a row has more columns than the first line: put captions with commas in quotation marks"
        )
    row = {column(key): value for key, value in row.items()}
    name = next((row[key] for key in FILE_KEYS if key in row), None)
    if name is None:
        raise ValueError(f"a row lacks a file ({' or '.join(FILE_KEYS)})")
    return name, next((row[key] for key in TEXT_KEYS if key in row), None)
