"""Which files of a folder or URL are images to try, and which are refused unread."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from components.common.errors import InputError
from components.data.sources.base import Progress
from components.data.sources.images import EXTENSIONS, FILE_BYTES, UNSUPPORTED, BadImage
from components.data.sources.names import shown
from components.store import Store

TABLES = {".json", ".jsonl", ".csv", ".tsv"}


@dataclass
class Found:
    """The files of a folder: those to try, and those refused already."""

    paths: list[str] = field(default_factory=list)  # relative, with '/'
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    ignored: int = 0  # files that are no images by their names

    def skip(self, path: str, reason: str) -> None:
        """Refuse a file."""
        self.skipped.append((shown(path), reason))


def local_folder(source: str | Path, mirror: Path, found: Found, progress: Progress | None) -> Path:
    """The source as a folder of this machine; a remote one is copied to `mirror`."""
    if "://" in str(source) and not str(source).startswith("file://"):
        return download(str(source), mirror, found, progress)
    root = Path(str(source).removeprefix("file://")).expanduser()
    if not root.exists():
        raise InputError(f"{root} does not exist: give a folder or a URL of images")
    if not root.is_dir():
        raise InputError(f"{root} is a file: give a folder of images (unpack an archive first)")
    return root


def download(url: str, mirror: Path, found: Found, progress: Progress | None) -> Path:
    """Copy what may be needed of a remote folder."""
    store = Store(url)
    store.check()
    wanted = [rel for rel in store.find() if suffix(rel) in EXTENSIONS | UNSUPPORTED | TABLES]
    mirror.mkdir()
    for number, rel in enumerate(wanted):
        try:
            if store.size(rel) > FILE_BYTES:
                raise BadImage(f"larger than {FILE_BYTES // 1_000_000} MB")
            store.download(rel, mirror / rel)
        except BadImage as error:
            found.skip(rel, str(error))
        except (InputError, FileNotFoundError):
            if (
                store.exists()
            ):  # the place answers, so it is this file: a name that cannot be, or no permission
                found.skip(rel, "cannot be downloaded")
            else:
                raise
        if progress:
            progress(number + 1, len(wanted), "downloaded")
    return mirror


def scan(root: Path, found: Found) -> None:
    """Sort the files below `root` into those to try and those refused. Hidden files are nobody's images."""
    inside = root.resolve()

    def unreadable(error: OSError) -> None:
        found.skip(relative(str(error.filename), root), "folder that cannot be read")

    for folder, subfolders, names in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        for name in [name for name in subfolders if os.path.islink(os.path.join(folder, name))]:
            found.skip(relative(os.path.join(folder, name), root), "link to a folder")
        for name in sorted(name for name in names if not name.startswith(".")):
            sort_file(Path(folder, name), root, inside, found)


def sort_file(path: Path, root: Path, inside: Path, found: Found) -> None:
    """Decide about one file by its name and kind, without opening it."""
    name = relative(str(path), root)
    if suffix(name) not in EXTENSIONS | UNSUPPORTED:
        found.ignored += 1
    elif suffix(name) in UNSUPPORTED:
        found.skip(name, f"{suffix(name)} is not supported: save it as 8- or 16-bit PNG")
    elif path.is_symlink() and not path.resolve().is_relative_to(inside):
        found.skip(name, "link to a file outside the folder")
    elif not path.exists():
        found.skip(name, "link to nothing")
    elif not stat.S_ISREG(path.stat().st_mode):
        found.skip(name, "not a regular file")
    else:
        found.paths.append(name)


def relative(path: str, root: Path) -> str:
    """`path` below `root`, with '/'."""
    return Path(path).relative_to(root).as_posix()


def suffix(path: str) -> str:
    """The file name's ending, in lower case."""
    return PurePosixPath(path).suffix.lower()
