"""The card of a prepared data set: what is in it, where it came from, and the hash of every file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from components.common.errors import InputError, RunError
from components.common.hashing import digest, json_sha256
from components.common.names import displayed
from models.data_spec import DataSpec, SourceShape

SPLITS = ("train", "validation", "test")


class FileEntry(BaseModel):
    """The size and hash that a file must have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    bytes: int


class Sources(BaseModel):
    """The images that others are made from: the first of each pair, or the other of two domains."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    resolution: int
    channels: int
    counts: dict[str, int]  # sources per split
    paired: tuple[str, ...] = SPLITS  # splits in which source i belongs to image i

    @property
    def are_paired(self) -> bool:
        """Whether images can be learned from pairs; a test split alone may have them to judge by."""
        return set(SPLITS) <= set(self.paired)

    @property
    def shape(self) -> SourceShape:
        """What a network must know of a source."""
        return SourceShape(self.channels, self.resolution)


class DatasetCard(BaseModel):
    """A prepared data set, described. Written last, so a folder with a card is whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: int = 1
    name: str
    title: str
    source: str
    licence: str
    credit: str
    resolution: int
    channels: int
    labels: list[str] | None = None  # class names; label i is labels[i]
    counts: dict[str, int]  # images per split
    label_counts: dict[str, list[int]] | None = None  # per split, images per class
    captions: bool = False
    sources: Sources | None = None
    background: str | None = None  # what transparent images were laid on
    skipped: dict[str, int] = {}  # reason: number of files
    skipped_files: list[tuple[str, str]] = []  # the first of them: (file, reason)
    left_out: dict[str, int] = {}  # reason: number of files that were not meant to be read
    unmatched_captions: int = 0  # captions of images that are not there
    notes: list[str] = []  # how the folder was read, where that is not plain
    options: dict[str, Any] = {}
    files: dict[str, FileEntry] = {}  # by path inside the folder

    @property
    def hash(self) -> str:
        """The data hash: sha256 of the table of files."""
        return json_sha256({path: entry.model_dump() for path, entry in self.files.items()})

    @property
    def heading(self) -> str:
        """What pages call the set: its title, or its name where the title is only that of the folder."""
        return self.name if self.source.rstrip("/").rpartition("/")[2] == self.title else self.title

    @property
    def num_classes(self) -> int:
        """Number of classes; 0: unlabelled."""
        return len(self.labels or [])

    @property
    def card(self) -> DataSpec:
        """What a network must know of the images."""
        source = self.sources.shape if self.sources else None
        return DataSpec(self.channels, self.resolution, self.num_classes, source=source)

    def to_json(self) -> str:
        """The same card always as the same bytes; without what is empty, as before there were such fields."""
        absent = {
            name for name in ("sources", "left_out", "unmatched_captions", "notes") if not getattr(self, name)
        }
        return (
            json.dumps(self.model_dump(exclude=absent), sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        )

    @classmethod
    def read(cls, folder: Path) -> DatasetCard:
        """The card of the data set in `folder`."""
        path = Path(folder) / "card.json"
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise InputError(f"{folder} is not a prepared data set: it has no card.json") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = displayed(".".join(map(str, first["loc"])))
            raise RunError(
                f"{path} is damaged ({where} {first['msg']}): prepare the data set again"
            ) from None

    def problems(self, folder: Path) -> list[str]:
        """What in `folder` is not as the card says, a line each."""
        lines = []
        for relative, entry in sorted(self.files.items()):
            path = Path(folder) / relative
            if not path.is_file():
                lines.append(f"{relative} is missing")
            elif path.stat().st_size != entry.bytes:
                lines.append(f"{relative} has {path.stat().st_size} bytes instead of {entry.bytes}")
            elif digest(path, "sha256") != entry.sha256:
                lines.append(f"{relative} has other contents")
        return lines

    def verify(self, folder: Path) -> None:
        """Raise if a file of the data set is missing or changed."""
        if lines := self.problems(folder):
            more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
            raise RunError(f"data set {self.name} in {folder} is damaged: {'; '.join(lines[:3])}{more}")
