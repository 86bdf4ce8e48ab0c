"""Versions of data sets, kept by DVC. The only module that imports DVC, and only where DVC itself must act.

The prepared folder is tracked, which pins its version. A run reads a snapshot: a read-only copy of one
version, linked from the cache of DVC, which nobody prepares into: new data never disturbs a run under way.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from components.common.atomic import new_folder
from components.common.errors import InputError, RunError
from components.common.hashing import digest
from components.common.locks import locked
from components.data.card import DataCard
from components.data.versioning.pins import (
    cached,
    changed_files,
    data_folder,
    data_lock,
    dvc_file,
    folder_md5,
    is_cached,
    note_version,
    pin_of,
    pinned,
    pinned_at,
    read_listing,
    remotes,
    tracked,
    versions,
)
from components.store import Store

__all__ = [
    "Version",
    "pinned",
    "pull",
    "push",
    "set_remote",
    "snapshot",
    "status",
    "track",
    "tracked",
    "verify",
    "versions",
]

LOCK_SECONDS = 120  # patience with somebody else's DVC command
CONFIG = "[core]\n    analytics = false\n    autostage = false\n    check_update = false\n"
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """One version of a data set."""

    name: str
    version: str  # md5 and ".dir", as in the .dvc file
    new: bool  # whether the .dvc file changed


def verify(home: Path, name: str) -> None:
    """Raise unless the prepared folder is exactly the pinned version."""
    folder, pin = data_folder(home, name), pinned(home, name)
    if pin is None:
        raise InputError(f"data set {name} is not versioned yet: prepare or add it first")
    if not folder.exists():
        raise InputError(
            f"data set {name} is pinned but not here: `atelier data prepare {name}` or `atelier data pull`"
        )
    if (found := folder_md5(folder)) != pin:
        changed = changed_files(home, pin, folder)
        which = f" ({', '.join(changed[:5])})" if changed else ""
        raise RunError(f"data set {name} is {found}, but {dvc_file(home, name).name} pins {pin}{which}")


def track(home: Path, name: str) -> Version:
    """Put the prepared set under DVC and pin it; does nothing if that version is pinned and cached."""
    home = Path(home).resolve()
    with locked(data_lock(home, name)):
        folder, before = data_folder(home, name), pinned(home, name)
        DataCard.read(folder).verify(folder)
        version = folder_md5(folder)
        if version != before or not is_cached(home, version):
            with dvc_file_kept_on_error(home, name) as file:
                in_dvc(home, lambda repo: repo.commit(str(file), force=True))
                if pinned(home, name) != version:
                    raise RunError(f"DVC tracked {name} as {pinned(home, name)} instead of {version}")
        note_version(home, name, version)
    return Version(name, version, version != before)


@contextmanager
def dvc_file_kept_on_error(home: Path, name: str) -> Iterator[Path]:
    """The .dvc file, begun if there is none; as it was before, or gone, if the block fails."""
    file = dvc_file(home, name)
    before = file.read_bytes() if file.exists() else None
    if before is None:
        path = os.path.relpath(data_folder(home, name), file.parent)
        file.write_text(yaml.safe_dump({"outs": [{"path": path, "hash": "md5"}]}), "utf-8")
    try:
        yield file
    except BaseException:
        file.unlink() if before is None else file.write_bytes(before)
        raise


def in_dvc(home: Path, do: Callable[[Any], T]) -> T:
    """`do(repo)` with the DVC repository of the project, alone, waiting for other DVC commands to end."""
    home = Path(home).resolve()
    with locked(home / ".atelier" / "locks" / "dvc"):
        begin(home)
        from dvc.lock import LockError

        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                with repository(home) as repo:
                    return do(repo)
            except LockError:
                if time.monotonic() > deadline:
                    raise RunError(
                        f"another DVC command has held the lock for {LOCK_SECONDS} s: {home}"
                    ) from None
                time.sleep(0.5)


def repository(home: Path) -> Any:
    """The DVC repository, its scratch data inside the project; without git where there is none."""
    from dvc.repo import Repo

    for name in ("dvc", "dvc_data", "dvc_objects"):  # their errors reach the user as our sentences
        logging.getLogger(name).setLevel(logging.CRITICAL)
    core = {
        "no_scm": not (home / ".git").exists(),
        "site_cache_dir": str(home / ".atelier" / "dvc"),
        "analytics": False,
    }
    return Repo(str(home), config={"core": core})


def begin(home: Path) -> None:
    """Make the folder a DVC project if it is none."""
    folder = home / ".dvc"
    folder.mkdir(exist_ok=True)
    for name, text in (("config", CONFIG), (".gitignore", "/config.local\n/tmp\n/cache\n")):
        if not (folder / name).exists():
            (folder / name).write_text(text, "utf-8")


def snapshot(home: Path, name: str, revision: str | None = None) -> tuple[Path, str]:
    """A folder with exactly one version of `name`, which nothing ever changes, and that version.

    `revision` is a git revision, a version or at least its first six characters; None: the pinned version.
    """
    home = Path(home).resolve()
    version = resolve(home, name, revision)
    return materialise(home, name, version), version


def materialise(home: Path, name: str, version: str, remote: str | None = None) -> Path:
    """The snapshot of a version, made if it is not there yet."""
    folder = home / ".atelier" / "data" / version.removesuffix(".dir")
    if not folder.exists():
        with locked(home / ".atelier" / "locks" / f"snapshot-{folder.name}"):
            if not folder.exists():
                fetch(home, name, version, remote)
                with new_folder(folder) as new:
                    link(home, version, new)
    return folder


def resolve(home: Path, name: str, revision: str | None) -> str:
    """The version that `revision` means."""
    if revision is None:
        return pinned(home, name) or first_version(home, name)
    found = {row["version"] for row in versions(home, name) if starts(row["version"], revision)}
    if at_commit := pinned_at(home, name, revision):
        found.add(at_commit)
    if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", revision):
        found.add(revision.removesuffix(".dir") + ".dir")
    if len(found) > 1:
        raise InputError(f"revision {revision!r} of data set {name} is ambiguous: {', '.join(sorted(found))}")
    if not found:
        known = ", ".join(row["version"][:10] for row in versions(home, name)[:5]) or "none"
        raise InputError(
            f"data set {name} has no revision {revision!r}: give a git revision that has "
            f"{dvc_file(home, name).name}, or a version (known: {known})"
        )
    return found.pop()


def first_version(home: Path, name: str) -> str:
    """The version of a set that is prepared but was never tracked."""
    if not data_folder(home, name).exists():
        raise InputError(
            f"there is no data set {name!r} here: `atelier data prepare {name}`, or `atelier data list`"
        )
    return track(home, name).version


def starts(version: str, revision: str) -> bool:
    """Whether `revision` abbreviates `version`."""
    return bool(re.fullmatch(r"[0-9a-f]{6,32}(\.dir)?", revision)) and version.startswith(revision)


def fetch(home: Path, name: str, version: str, remote: str | None = None) -> None:
    """Make sure that the cache holds `version`, from the prepared folder if it is that, else from afar."""
    if is_cached(home, version):
        return
    folder = data_folder(home, name)
    if pinned(home, name) == version and folder.exists() and folder_md5(folder) == version:
        track(home, name)
        return
    if not remotes(home):
        raise InputError(
            f"version {version[:10]} of data set {name} is not here and there is no DVC remote: "
            f"prepare the set again (`atelier data prepare`), or configure a remote that has it"
        )
    in_dvc(home, partial(transfer, version=version, remote=remote, pull=True))
    if not is_cached(home, version):
        raise InputError(f"version {version[:10]} of data set {name} is not in the remote, or damaged there")


def link(home: Path, version: str, folder: Path) -> None:
    """Fill `folder` with the files of `version`, read-only, each checked."""
    for entry in read_listing(home, version) or []:
        source, target = cached(home, entry["md5"]), folder / entry["relpath"]
        if ".." in Path(entry["relpath"]).parts or not target.is_relative_to(folder):
            raise RunError(f"version {version} names a file outside its folder: {entry['relpath']}")
        if digest(source, "md5") != entry["md5"]:
            source.unlink()  # so that the next attempt fetches it anew
            raise RunError(
                f"DVC's cache held a damaged copy of {entry['relpath']}, now removed: run the command again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, target)
        target.chmod(0o444)


def set_remote(home: Path, url: str, name: str = "storage") -> None:
    """Make `url` (a folder or s3://bucket/path) the remote; S3 endpoint and keys come from AWS_* variables.

    A folder is a fact of this machine and goes to .dvc/config.local; a URL goes to .dvc/config, for all.
    """
    home, place = Path(home).resolve(), Store(url)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InputError(f"remote name {name!r} will not do: use letters, digits, '_' and '-'")

    def edit(repo: Any) -> None:
        level = "local" if place.is_local else "repo"
        with repo.config.edit(level) as config:
            config["remote"][name] = {"url": place.path() if place.is_local else url, "verify": True}
            config["core"]["remote"] = name

    in_dvc(home, edit)


def push(home: Path, names: Sequence[str] | None = None, remote: str | None = None) -> list[dict[str, Any]]:
    """Copy the pinned versions to the remote: [{name, version, files}], files newly copied."""
    home = Path(home).resolve()
    rows = []
    for name in names or tracked(home):
        version = pin_of(home, name)
        if not is_cached(home, version):
            verify(home, name)
            track(home, name)
        count = in_dvc(home, partial(transfer, version=version, remote=remote, pull=False))
        rows.append({"name": name, "version": version, "files": count})
    return rows


def pull(home: Path, names: Sequence[str] | None = None, remote: str | None = None) -> list[dict[str, Any]]:
    """Bring the pinned versions here and into data/<name>/: [{name, version, changed}].

    A folder with contents that no version holds is not overwritten.
    """
    home = Path(home).resolve()
    rows = []
    for name in names or tracked(home):
        version = pin_of(home, name)
        copy = materialise(home, name, version, remote)
        rows.append({"name": name, "version": version, "changed": restore(home, name, copy, version)})
    return rows


def restore(home: Path, name: str, copy: Path, version: str) -> bool:
    """Make data/<name>/ the given version; False if it is already."""
    with locked(data_lock(home, name)):
        folder = data_folder(home, name)
        if folder.exists() and (found := folder_md5(folder)) == version:
            return False
        if folder.exists() and not is_cached(home, found):
            raise InputError(
                f"data/{name} holds data that no version has: delete it, or track it, before pulling"
            )
        with new_folder(folder) as new:
            shutil.copytree(copy, new, dirs_exist_ok=True, copy_function=shutil.copyfile)
        return True


def transfer(repo: Any, version: str, remote: str | None, *, pull: bool) -> int:
    """Copy one version between cache and remote; the number of files that were copied."""
    from dvc_data.hashfile.hash_info import HashInfo

    cache, place = repo.cache.local, remote_objects(repo, remote)
    source, target = (place, cache) if pull else (cache, place)
    with explained(f"{'pulling from' if pull else 'pushing to'} the DVC remote"):
        if not source.exists(version):
            return 0
        # Not through DVC's memory of what a remote holds, or one that was emptied would never be filled
        # again; and verified, for a damaged object must not enter the cache.
        wanted = {HashInfo("md5", version)}
        done = repo.cloud.transfer(source, target, wanted, shallow=False, cache_odb=source, verify=True)
    if done.failed and not pull:
        raise RunError(f"{len(done.failed)} files of version {version[:10]} did not reach the DVC remote")
    return len(done.transferred)


def remote_objects(repo: Any, remote: str | None) -> Any:
    """The objects of a remote, the default one if `remote` is None."""
    from dvc.config import ConfigError

    try:
        with explained("opening the DVC remote"):
            return repo.cloud.get_remote_odb(remote)
    except ConfigError:  # NoRemoteError is one
        what = f"no DVC remote called {remote!r}" if remote else "no DVC remote"
        raise InputError(
            f"there is {what}: `dvc remote add -d storage FOLDER_OR_S3_URL` configures one"
        ) from None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """DVC's and the object store's errors as one sentence."""
    from dvc.config import ConfigError

    try:
        yield
    except (InputError, RunError, ConfigError):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise RunError(
            f"{what} failed ({reason}): check its URL, the network and the AWS_* variables"
        ) from error


def status(home: Path, *, ask_remote: bool = True) -> list[dict[str, Any]]:
    """Per set: {name, prepared, pinned, version, changed, cached, remote}; remote None: there is none."""
    home = Path(home).resolve()
    prepared = sorted(path.parent.name for path in (home / "data").glob("[!.]*/card.json"))
    rows = [state(home, name) for name in dict.fromkeys([*tracked(home), *prepared])]
    wanted = [row for row in rows if row["pinned"]]
    if ask_remote and wanted and remotes(home):
        held = in_dvc(home, lambda repo: [is_in_remote(home, repo, row["pinned"]) for row in wanted])
        for row, there in zip(wanted, held, strict=True):
            row["remote"] = there
    return rows


def state(home: Path, name: str) -> dict[str, Any]:
    """What is known of a set without asking a remote."""
    folder, pin = data_folder(home, name), pinned(home, name)
    version = folder_md5(folder) if (folder / "card.json").exists() else None
    return {
        "name": name,
        "prepared": version is not None,
        "pinned": pin,
        "version": version,  # of the prepared folder
        "changed": version is not None and version != pin,
        "cached": pin is not None and is_cached(home, pin),
        "remote": None,
    }


def is_in_remote(home: Path, repo: Any, version: str) -> bool:
    """Whether the default remote holds every file of a version."""
    place = remote_objects(repo, None)
    objects = {version, *(entry["md5"] for entry in read_listing(home, version) or [])}
    with explained("asking the DVC remote"):
        return objects == set(place.oids_exist(list(objects)))
