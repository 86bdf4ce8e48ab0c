"""List the image files of a folder or URL, and refuse unsuitable ones without reading them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from components.common.errors import InputError
from components.data.sources.base import Progress
from components.data.sources.images import EXTENSIONS, FILE_BYTES, UNSUPPORTED, BadImage
from components.data.sources.names import displayed
from components.store import Store

TABLES = {".json", ".jsonl", ".csv", ".tsv"}


@dataclass
class Files:
    """The files of a folder: possible images, and skipped ones."""

    paths: list[str] = field(default_factory=list)  # relative, with '/'
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    ignored: int = 0  # files without the name of an image

    def skip(self, path: str, reason: str) -> None:
        """Add a file to those skipped; does not remove it from `paths`."""
        self.skipped.append((displayed(path), reason))


@dataclass(frozen=True)
class Listing:
    """A folder whose files are known, or one domain of it."""

    source: str | Path  # folder or URL, for messages
    root: Path  # on this machine
    files: Files
    domain: str = ""  # A: only what is in trainA, testA and valA

    def keys(self, paths: Sequence[str]) -> list[str]:
        """Return the paths as they would be if the domain had a folder of its own."""
        tops = [path.partition("/") for path in paths]
        return [top.removesuffix(self.domain) + slash + below for top, slash, below in tops]


def listed(source: str | Path, mirror: Path, progress: Progress | None) -> Listing:
    """List the images of a folder or fsspec URL; copy a remote one to `mirror` first."""
    files = Files()
    root = local_folder(source, mirror, files, progress)
    scan(root, files)
    return Listing(source, root, files)


def local_folder(source: str | Path, mirror: Path, files: Files, progress: Progress | None) -> Path:
    """Return the source as a local folder; copy a remote one to `mirror` first."""
    if "://" in str(source) and not str(source).startswith("file://"):
        return download(str(source), mirror, files, progress)
    root = Path(str(source).removeprefix("file://")).expanduser()
    if not root.exists():
        raise InputError(f"{root} does not exist: give a folder or a URL of images")
    if not root.is_dir():
        raise InputError(f"{root} is a file: give a folder of images (unpack an archive first)")
    return root


def download(url: str, mirror: Path, files: Files, progress: Progress | None) -> Path:
    """Copy the images and caption files of a remote folder to `mirror`."""
    store = Store(url)
    store.check()
    paths = [rel for rel in store.find() if suffix(rel) in EXTENSIONS | UNSUPPORTED | TABLES]
    mirror.mkdir()
    for number, rel in enumerate(paths):
        try:
            if store.size(rel) > FILE_BYTES:
                raise BadImage(f"larger than {FILE_BYTES // 1_000_000} MB")
            store.download(rel, mirror / rel)
        except BadImage as error:
            files.skip(rel, str(error))
        except (InputError, FileNotFoundError):
            if not store.exists():
                raise
            files.skip(rel, "cannot be downloaded")  # an invalid name or no permission
        if progress:
            progress(number + 1, len(paths), "downloaded")
    return mirror


def scan(root: Path, files: Files) -> None:
    """Add the files below `root` to `files`, without hidden ones."""
    inside = root.resolve()

    def unreadable(error: OSError) -> None:
        files.skip(relative(str(error.filename), root), "folder that cannot be read")

    for folder, subfolders, names in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        for name in [name for name in subfolders if os.path.islink(os.path.join(folder, name))]:
            files.skip(relative(os.path.join(folder, name), root), "link to a folder")
        for name in sorted(name for name in names if not name.startswith(".")):
            sort_file(Path(folder, name), root, inside, files)


def sort_file(path: Path, root: Path, inside: Path, files: Files) -> None:
    """Add, skip or ignore a file by its name and kind, without opening it."""
    name = relative(str(path), root)
    if suffix(name) not in EXTENSIONS | UNSUPPORTED:
        files.ignored += 1
    elif suffix(name) in UNSUPPORTED:
        files.skip(name, f"{suffix(name)} is not supported: save it as 8- or 16-bit PNG")
    elif path.is_symlink() and not path.resolve().is_relative_to(inside):
        files.skip(name, "link to a file outside the folder")
    elif not path.exists():
        files.skip(name, "link to nothing")
    elif not stat.S_ISREG(path.stat().st_mode):
        files.skip(name, "not a regular file")
    else:
        files.paths.append(name)


def relative(path: str, root: Path) -> str:
    """Return `path` relative to `root`, with '/'."""
    return Path(path).relative_to(root).as_posix()


def suffix(path: str) -> str:
    """Return the suffix of a file name in lower case."""
    return PurePosixPath(path).suffix.lower()
