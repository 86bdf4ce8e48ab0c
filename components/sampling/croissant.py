"""Description of a synthetic data set: Croissant metadata (JSON-LD) and a card in Markdown.

Croissant 1.0, https://docs.mlcommons.org/croissant/docs/croissant-spec.html: the files with their hashes, and
the records in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.sampling.png import GENERATED, Made
from components.sampling.shards import Form

CAPTIONED, LABELLED = "metadata.csv", "labels.csv"
TABLES = (CAPTIONED, LABELLED)  # of a folder
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True)
class Description:
    """Description of a data set.

    Attributes:
        family: of the model.
        made: how all samples were made.
        form: of its files.
        stem: the first part of their names; empty for a folder.
        n: number of samples.
        shape: (C, H, W) of one.
        files: sha256 by name, of the shards, the npz or the table of a folder.
        labels: the names of the classes.
        num_classes: 0 if samples have no labels.
        captions: whether samples have captions.
        licence: of the model, as its card has it.
    """

    family: str
    made: Made
    form: Form
    stem: str
    n: int
    shape: tuple[int, int, int]
    files: Mapping[str, str]
    labels: Sequence[str] | None = None
    num_classes: int = 0
    captions: bool = False
    licence: str | None = None

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.stem or f"synthetic-{self.family}"

    @property
    def summary(self) -> str:
        """What it is, as a sentence."""
        channels, height, width = self.shape
        colours = "grey" if channels == 1 else "colour"
        run = f" of the run {self.made['run']}" if "run" in self.made else ""
        return (
            f"{self.n:,} synthetic {colours} images of {width} x {height} pixels, drawn by Atelier from the "
            f"model {self.family}{run}. None of them is a photograph or an original."
        )


def table_name(captions: bool) -> str:
    """Return the name of the table of a folder."""
    return CAPTIONED if captions else LABELLED


def licence_of(model: Path) -> str | None:
    """Return the licence in the card of a model's folder, if there is one."""
    try:
        _, front, _ = (model / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        licence = yaml.safe_load(front)["license"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return str(licence)


def metadata(of: Description) -> dict[str, object]:
    """Return the Croissant metadata of a data set."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": of.name,
        "description": of.summary,
        **({"license": of.licence} if of.licence else {}),
        "version": "1.0.0",
        "keywords": ["synthetic", "images", of.family],
        "rai:dataCollection": (
            f"Synthetic: {of.summary} Digital source type: {GENERATED}. "
            f"Drawn with {json.dumps(of.made, sort_keys=True)}"
        ),
        "rai:dataLimitations": (
            "A generative model neither covers its training data nor keeps to it; whether these images help "
            "a task is measured by `atelier evaluate-synthetic`."
        ),
        "distribution": distribution(of),
        "recordSet": RECORDS[of.form](of),
    }


def distribution(of: Description) -> list[dict[str, object]]:
    """Return the files, and the sets of files in them."""
    kinds = {"tar": "application/x-tar", "npz": "application/zip", "csv": "text/csv"}
    objects: list[dict[str, object]] = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "encodingFormat": kinds[name.rpartition(".")[2]],
            "sha256": sha256,
        }
        for name, sha256 in of.files.items()
    ]
    if of.form == "folder":
        return [*objects, file_set("png", "image/png", "*.png", [])]
    if of.form == "npz":
        return objects
    kinds_of = {"png": "image/png"}
    kinds_of |= {"cls": "text/plain"} if of.num_classes else {}
    kinds_of |= {"txt": "text/plain"} if of.captions else {}
    sets = (file_set(ending, kind, f"*.{ending}", list(of.files)) for ending, kind in kinds_of.items())
    return [*objects, *sets]


def file_set(name: str, kind: str, includes: str, inside: Sequence[str]) -> dict[str, object]:
    """Return a set of files, in shards or beside the metadata."""
    contained = {"containedIn": [{"@id": file} for file in inside]} if inside else {}
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        **contained,
        "encodingFormat": kind,
        "includes": includes,
    }


def field(
    record: str, name: str, kind: str, source: Mapping[str, object], **more: object
) -> dict[str, object]:
    """Return a field of a set of records."""
    identity = {"@type": "cr:Field", "@id": f"{record}/{name}", "name": name}
    return {**identity, "dataType": kind, "source": source, **more}


def records(name: str, key: str, fields: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return a set of records, which one field identifies."""
    identity = {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/{key}"}}
    return {**identity, "field": list(fields)}


def images_of(regex: str) -> list[dict[str, object]]:
    """Return the fields of images: the part of the file's name that `regex` finds, and the pixels."""
    images = {"fileSet": {"@id": "png"}}
    named = {**images, "extract": {"fileProperty": "filename"}, "transform": {"regex": regex}}
    return [
        field("samples", "key", "sc:Text", named),
        field("samples", "image", "sc:ImageObject", {**images, "extract": {"fileProperty": "content"}}),
    ]


def folder_records(of: Description) -> list[dict[str, object]]:
    """Return the images of a folder, and the rows of its table."""
    sets = [records("samples", "key", images_of("^(.*)$"))]
    for name in of.files:  # the table, if there is one
        columns = [("file_name", "sc:Text")]
        columns += [("label", "sc:Integer"), ("class", "sc:Text")] if of.num_classes else []
        columns += [("text", "sc:Text")] if of.captions else []
        rows = [
            field(
                "table",
                column,
                kind,
                {"fileObject": {"@id": name}, "extract": {"column": column}},
                **({"references": {"field": {"@id": "samples/key"}}} if column == "file_name" else {}),
            )
            for column, kind in columns
        ]
        sets.append(records("table", "file_name", rows))
    return sets


def shard_records(of: Description) -> list[dict[str, object]]:
    """Return the images in shards, and the classes and captions that have the same key."""
    sets = [records("samples", "key", images_of(r"^(\d+)\.png$"))]
    for name, column, kind, ending, there in (
        ("classes", "label", "sc:Integer", "cls", of.num_classes),
        ("captions", "text", "sc:Text", "txt", of.captions),
    ):
        if there:
            files = {"fileSet": {"@id": ending}}
            named = {**files, "extract": {"fileProperty": "filename"}}
            pattern = {"transform": {"regex": rf"^(\d+)\.{ending}$"}}
            key = field(
                name, "key", "sc:Text", {**named, **pattern}, references={"field": {"@id": "samples/key"}}
            )
            content = {**files, "extract": {"fileProperty": "content"}}
            sets.append(records(name, "key", [key, field(name, column, kind, content)]))
    return sets


def npz_records(of: Description) -> list[dict[str, object]]:
    """Return none: Croissant has no way to name an array in an npz."""
    return []


RECORDS = {"folder": folder_records, "webdataset": shard_records, "npz": npz_records}


def card(of: Description) -> str:
    """Return the card of a data set, with front matter as the Hub reads it."""
    kinds = ["text-to-image"] if of.captions else ["image-classification"] if of.num_classes else []
    front: dict[str, object] = {
        **({"license": of.licence} if of.licence else {}),
        "tags": ["synthetic", "atelier", of.family],
        "task_categories": [*kinds, "unconditional-image-generation"],
        "pretty_name": of.name,
    }
    how = json.dumps(of.made, indent=1, sort_keys=True, ensure_ascii=False)
    lines = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        "",
        f"# {of.name}",
        "",
        of.summary,
        "",
        *contents(of),
        "",
        "## Use",
        "",
        *(f"    {line}" for line in USE[of.form](of)),
        "",
        *classes(of),
        "## Origin",
        "",
        *(f"    {line}" for line in how.splitlines()),
        "",
        "`atelier evaluate-synthetic` says whether these images help a classifier that has few real ones.",
        "",
    ]
    return "\n".join(lines)


def contents(of: Description) -> list[str]:
    """Return what the files hold, as lines."""
    captions = ", captions" if of.captions else ""
    labels = ", classes as numbers" if of.num_classes else ""
    if of.form == "npz":
        names = "".join(
            [", `arr_1` (N,) the classes" * bool(of.num_classes), ", `prompts` (N,)" * of.captions]
        )
        return [f"`{of.stem}.npz` holds `arr_0`, the images (N, H, W, C) in 0 to 255{names}."]
    if of.form == "webdataset":
        endings = ["`.png`", *["`.cls`"] * bool(of.num_classes), *["`.txt`"] * of.captions]
        return [
            f"{len(of.files):,} shards of WebDataset hold, for each sample, {', '.join(endings)} and `.json` "
            "(how it was made). The same command writes the same bytes."
        ]
    table = f"; `{next(iter(of.files))}` has file names{labels}{captions}" if of.files else ""
    return [f"A PNG of each sample, which says how it was made{table}."]


def use_folder(of: Description) -> list[str]:
    """Return lines that open a folder."""
    read = [f'rows = list(csv.DictReader(open("{name}", encoding="utf-8")))' for name in of.files]
    return [
        *(["import csv"] if read else []),
        "from PIL import Image",
        'image = Image.open("000000.png")',
        *read,
    ]


def use_shards(of: Description) -> list[str]:
    """Return lines that open shards."""
    fields = ["png", *["cls"] * bool(of.num_classes), *["txt"] * of.captions]
    last = f"{len(of.files) - 1:06}"
    return [
        "import webdataset",
        f'shards = webdataset.WebDataset("{of.stem}-{{000000..{last}}}.tar", shardshuffle=False)',
        f'for sample in shards.decode("pil").to_tuple({", ".join(map(repr, fields))}):',
        "    ...",
    ]


def use_npz(of: Description) -> list[str]:
    """Return lines that open an npz."""
    return ["import numpy as np", f'images = np.load("{of.stem}.npz")["arr_0"]']


USE = {"folder": use_folder, "webdataset": use_shards, "npz": use_npz}


def classes(of: Description) -> list[str]:
    """Return the names of the classes, as lines."""
    if not of.num_classes or not of.labels:
        return []
    return [f"Classes: {', '.join(f'{i} {name}' for i, name in enumerate(of.labels))}.", ""]
