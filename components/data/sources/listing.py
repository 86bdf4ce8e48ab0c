"""List the image files of a folder or URL, and refuse unsuitable ones without decoding them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path

from components.common.errors import InputError
from components.common.names import displayed
from components.data.sources.base import Progress
from components.data.sources.images import CAMERA, EXTENSIONS, FILE_BYTES, UNSUPPORTED, BadImage
from components.data.sources.layout import domain_of
from components.data.sources.signatures import HEAD, SUPPORTED_AS, image_format, unread_format
from components.store import Store
from components.store.urls import is_confined

TABLES = {".json", ".jsonl", ".csv", ".tsv", ".parquet"}
TEXTS = {".txt", ".caption"}  # a caption, if an image of the same name is beside it
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}
HIDDEN = (".", "__MACOSX")  # beginnings of the names of files and folders that are left out
# Folders that systems make in those of their users, in lower case: previews, and what was deleted or rescued.
SYSTEM = {"@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"}

NAMED = 3  # files that are not images, as examples
MAX_COUNTED = 10_000  # folders behind a link whose files an error counts: it may be a link to a whole disk


@dataclass
class Files:
    """The files of a folder: possible images, skipped ones, and all others by reason.

    Every file is in exactly one of `paths`, `skipped`, `ignored` and `left_out`.
    """

    paths: list[str] = field(default_factory=list)  # relative, with '/'
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    refused: set[str] = field(default_factory=set)  # the paths of those skipped, as they are
    ignored: int = 0  # files that are not images; those with captions too
    ignored_names: list[str] = field(default_factory=list)  # the first of them
    left_out: Counter[str] = field(default_factory=Counter)  # other files by reason
    texts: list[str] = field(default_factory=list)  # of those ignored, tables and texts that may be captions
    notes: list[str] = field(default_factory=list)  # how the folder is read, for its user
    archives: list[str] = field(default_factory=list)  # of those ignored, files that must be unpacked first
    unmatched_captions: int = 0  # captions of images that do not exist
    unmatched_example: str = ""  # the name of one such image

    def ignore(self, path: str) -> None:
        """Count a file that is no image."""
        self.ignored += 1
        if len(self.ignored_names) < NAMED:
            self.ignored_names.append(displayed(path))
        if suffix(path) in TABLES | TEXTS:
            self.texts.append(path)
        if suffix(path) in ARCHIVES:
            self.archives.append(displayed(path))

    def skip(self, path: str, reason: str) -> None:
        """Add a file to those skipped; does not remove it from `paths`."""
        self.skipped.append((displayed(path), reason))
        self.refused.add(path)

    def leave_out_other_forms(self) -> None:
        """Leave out instead of skip what cannot be read beside an image of the same name: RAW beside JPEG."""
        unread = {path for path in self.refused if suffix(path) in UNSUPPORTED}
        stems = {stem_of(path) for path in unread}
        beside = {stem for path in self.paths if (stem := stem_of(path)) in stems}
        other = {path for path in unread if stem_of(path) in beside}
        names = set(map(displayed, other))
        skipped = [each for each in self.skipped if each[0] not in names]
        if other:
            self.left_out["another form of an image beside it"] += len(self.skipped) - len(skipped)
        self.skipped, self.refused = skipped, self.refused - other


@dataclass(frozen=True)
class Listing:
    """A folder whose files are known, or one domain of it."""

    source: str | Path  # folder or URL, for messages
    root: Path  # on this machine
    files: Files
    domain: str = ""  # A: only what is in trainA, testA and valA
    inside: str = ""  # the folder that has all images, with '/' at its end; often that of an archive

    def keys(self, paths: Sequence[str]) -> list[str]:
        """Return the paths as they would be if the domain had a folder of its own."""
        if not self.inside and not self.domain:
            return list(paths)
        tops = (path.removeprefix(self.inside).partition("/") for path in paths)
        return [without_domain(top, self.domain) + slash + below for top, slash, below in tops]


def without_domain(top: str, domain: str) -> str:
    """Return the name of a split's folder without the letter of its domain: train of trainA or Train_a."""
    return top[:-1].rstrip("_-") if domain and domain_of(top) == domain else top


def listed(
    source: str | Path, mirror: Path, progress: Progress | None, follow_links: bool = False
) -> Listing:
    """List the images of a folder or fsspec URL; copy a remote one to `mirror` first.

    Raises:
        InputError: the folder does not exist, or links lead out of it and are not to be followed.
    """
    files = Files()
    root = local_folder(source, mirror, files, progress)
    scan(root, files, follow_links, "; pass --follow-links to read what is behind them")
    return Listing(source, root, files, inside=wrapper(files.paths))


def wrapper(paths: Sequence[str]) -> str:
    """Return the innermost folder that all images are below, with '/'; empty if they are at the top.

    The folder of a domain, such as trainA, is none: the other domain is missing.
    """
    common = os.path.commonprefix([path.split("/")[:-1] for path in paths])
    return "".join(f"{name}/" for name in takewhile(lambda name: domain_of(name) is None, common))


def local_folder(source: str | Path, mirror: Path, files: Files, progress: Progress | None) -> Path:
    """Return the source as a local folder; copy a remote one to `mirror` first."""
    if "://" in str(source) and not str(source).startswith("file://"):
        return download(str(source), mirror, files, progress)
    root = Path(str(source).removeprefix("file://")).expanduser()
    if not root.exists():
        raise InputError(f"{displayed(root)} does not exist: give a folder or a URL of images")
    if not root.is_dir():
        raise InputError(f"{displayed(root)} is a file: give a folder of images (unpack an archive first)")
    return root


def download(url: str, mirror: Path, files: Files, progress: Progress | None) -> Path:
    """Copy the images and the files with captions of a remote folder to `mirror`."""
    store = Store(url)
    store.check()
    paths = store.find()
    mirror.mkdir()
    for number, rel in enumerate(paths):
        try:
            if is_hidden(rel):
                files.left_out["hidden"] += 1
            elif not is_confined(rel):
                raise BadImage("its name has * ? [ ] # or the like, which URLs cannot have: rename it")
            elif not may_be_used(store, rel):
                files.ignore(rel)
            elif store.size(rel) > FILE_BYTES:
                raise BadImage(f"larger than {FILE_BYTES // 1_000_000} MB")
            else:
                store.download(rel, mirror / rel)
        except BadImage as error:
            files.skip(rel, str(error))
        except (InputError, FileNotFoundError):
            if not store.exists():
                raise
            files.skip(rel, "cannot be downloaded")  # no permission
        if progress:
            progress(number + 1, len(paths), "downloaded")
    return mirror


def may_be_used(store: Store, rel: str) -> bool:
    """Return whether a remote file is an image or may have captions, by its name or its first bytes."""
    if suffix(rel) in EXTENSIONS | UNSUPPORTED | TABLES - {".parquet"} | TEXTS:
        return True
    head = store.read_part(rel, 0, HEAD)
    return bool(image_format(head) or unread_format(head))


def is_hidden(path: str) -> bool:
    """Return whether a file, or a folder that it is in, is hidden."""
    return any(name.startswith(HIDDEN) or name.lower() in SYSTEM for name in path.split("/"))


def scan(root: Path, files: Files, follow_links: bool = False, advice: str = "") -> None:
    """Add the files below `root` to `files`.

    Args:
        root: a folder.
        files: receives its files.
        follow_links: whether links may lead out of the folder.
        advice: the end of the error's sentence.

    Raises:
        InputError: links lead out of the folder, and are not to be followed.
    """
    walk = Walk(root, files, follow_links)
    walk.run()
    files.leave_out_other_forms()
    if walk.outside_folders or walk.outside_files:
        raise InputError(
            f"{displayed(root)} has links that lead out of it: {walk.outside_folders} to folders, with "
            f"{walk.outside_in_folders} files, and {walk.outside_files} to files{advice}"
        )


class Walk:
    """Visits a folder and all below it, following each link once and none in a circle."""

    def __init__(self, root: Path, files: Files, follow_links: bool):
        self.root, self.files, self.follow_links = root, files, follow_links
        self.inside = root.resolve()
        self.outside_folders = self.outside_in_folders = self.outside_files = 0
        self._followed: set[str] = set()
        self._pending: list[tuple[str, frozenset[str]]] = []  # folders, and the real ones around each

    def run(self) -> None:
        """Visit all folders: each one's files in order, then its folders in order."""
        self._pending.append((str(self.root), frozenset()))
        while self._pending:
            folder, around = self._pending.pop()
            real = os.path.realpath(folder)
            if real in around:
                self.files.left_out["link to a folder around it"] += 1
                continue
            self._visit(folder, around | {real})

    def _visit(self, folder: str, around: frozenset[str]) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            self.files.skip(relative(folder, self.root), "folder that cannot be read")
            return
        below: list[tuple[str, frozenset[str]]] = []
        for entry in entries:
            if is_hidden(entry.name):
                self.files.left_out["hidden"] += count_files(entry)
            elif not is_folder(entry):
                self._file(entry)
            elif not entry.is_symlink() or self._follows(entry.path):
                below.append((entry.path, around))
        self._pending += reversed(below)

    def _follows(self, link: str) -> bool:
        """Return whether to visit the folder behind a link; count it if not."""
        if not self.follow_links and not self._leads_inside(link):
            self.outside_folders += 1
            self.outside_in_folders += sum(len(names) for _, _, names in islice(os.walk(link), MAX_COUNTED))
            return False
        place = os.path.join(os.path.realpath(os.path.dirname(link)), os.path.basename(link))
        if place in self._followed:
            self.files.left_out["link that was followed already"] += 1
            return False
        self._followed.add(place)
        return True

    def _leads_inside(self, link: str) -> bool:
        return Path(os.path.realpath(link)).is_relative_to(self.inside)

    def _file(self, entry: os.DirEntry[str]) -> None:
        leads_out = entry.is_symlink() and not self._leads_inside(entry.path) and os.path.exists(entry.path)
        if leads_out and not self.follow_links:
            self.outside_files += 1
        else:
            sort_file(entry, relative(entry.path, self.root), self.files)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; a link in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def count_files(entry: os.DirEntry[str]) -> int:
    """Return the number of files in a folder; 1 for a file or a link."""
    if entry.is_symlink() or not is_folder(entry):
        return 1
    return sum(len(names) for _, _, names in os.walk(entry.path))


def sort_file(entry: os.DirEntry[str], name: str, files: Files) -> None:
    """Add, skip or ignore a file by its kind; open it only if its name is not that of an image."""
    kind = suffix(name)
    if reason := why_no_file(entry):
        files.skip(name, reason) if kind in EXTENSIONS | UNSUPPORTED else files.left_out.update([reason])
    elif kind in EXTENSIONS:
        files.paths.append(name)
    else:
        sort_by_content(entry.path, name, files)


def why_no_file(entry: os.DirEntry[str]) -> str | None:
    """Return why an entry, or what it links to, is no file; None: it is one."""
    try:
        return None if stat.S_ISREG(entry.stat().st_mode) else "not a regular file"
    except OSError:
        return "link to nothing"


def sort_by_content(path: str, name: str, files: Files) -> None:
    """Add, skip or ignore a file by its first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        files.skip(name, "cannot be read")
        return
    if image_format(head) and suffix(name) not in CAMERA:
        files.paths.append(name)
    elif suffix(name) in UNSUPPORTED:
        files.skip(name, f"{suffix(name)} {SUPPORTED_AS}")
    elif unread := unread_format(head):
        files.skip(name, f"{unread} {SUPPORTED_AS}")
    else:
        files.ignore(name)


def relative(path: str, root: Path) -> str:
    """Return `path` relative to `root`, with '/'."""
    return "." if path == str(root) else path.removeprefix(os.path.join(root, ""))


def ending(path: str) -> str:
    """Return what pathlib calls the suffix, for which it takes ten times as long."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def suffix(path: str) -> str:
    """Return the ending of a file name in lower case."""
    return ending(path).lower()


def stem_of(path: str) -> str:
    """Return a path without the ending of its name."""
    return path.removesuffix(ending(path))
