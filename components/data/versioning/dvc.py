"""Version data sets with DVC. This is the only module that imports DVC, inside functions that need it.

Tracking a prepared folder pins its version. Runs read a snapshot, a read-only copy of a version that is
linked from DVC's cache. Preparing new data therefore does not affect current runs.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from components.common.atomic import new_folder, remove
from components.common.errors import InputError, RunError
from components.common.hashing import digest
from components.common.locks import locked
from components.common.public import public_url
from components.data.card import DatasetCard
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
    snapshot_folder,
    snapshot_lock,
    tracked,
    versions,
)
from components.store import Store
from components.store.errors import readable

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

LOCK_SECONDS = 120  # maximum wait for another DVC command
CONFIG = "[core]\n    analytics = false\n    autostage = false\n    check_update = false\n"
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A version of a data set."""

    name: str
    version: str  # md5 and ".dir", as in the .dvc file
    new: bool  # whether the .dvc file changed


def verify(home: Path, name: str) -> None:
    """Raise InputError or RunError unless the prepared folder is exactly the pinned version."""
    folder, pin = data_folder(home, name), pinned(home, name)
    if pin is None:
        raise InputError(f"data set {name} is not versioned yet: prepare or add it first")
    if not folder.exists():
        raise InputError(
            f"data set {name} is pinned but not prepared: run `atelier data prepare {name}` or "
            f"`atelier data pull`"
        )
    if (version := folder_md5(folder)) != pin:
        changed = changed_files(home, pin, folder)
        files = f" ({', '.join(changed[:5])})" if changed else ""
        raise RunError(f"data set {name} is {version}, but {dvc_file(home, name).name} pins {pin}{files}")


def track(home: Path, name: str) -> Version:
    """Track the prepared set with DVC and pin its version; do nothing if it is pinned and cached."""
    home = Path(home).resolve()
    with locked(data_lock(home, name)):
        folder, before = data_folder(home, name), pinned(home, name)
        DatasetCard.read(folder).verify(folder)
        version = folder_md5(folder)
        if version != before or not is_cached(home, version):
            with restored_on_error(home, name) as file:
                in_dvc(home, lambda repo: repo.commit(str(file), force=True))
                if pinned(home, name) != version:
                    raise RunError(f"DVC tracked {name} as {pinned(home, name)} instead of {version}")
        note_version(home, name, version)
    return Version(name, version, version != before)


@contextmanager
def restored_on_error(home: Path, name: str) -> Iterator[Path]:
    """Yield the .dvc file, created if it is missing; restore or delete it if the block fails."""
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
    """Return `do(repo)` for the project's DVC repository; wait for other DVC commands first."""
    home = Path(home).resolve()
    with locked(home / ".atelier" / "locks" / "dvc"):
        init(home)
        from dvc.config import ConfigError
        from dvc.dvcfile import FileIsGitIgnored
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
            except FileIsGitIgnored as error:
                raise InputError(
                    f"git ignores the file that pins the version ({error}): write `data/*` and `!data/*.dvc` "
                    f"into {home / '.gitignore'} in place of the line that ignores it"
                ) from None
            except ConfigError as error:
                reason = " ".join(str(error).split())
                raise InputError(
                    f"the settings of DVC cannot be read ({reason}): repair {home / '.dvc' / 'config'}, or "
                    "config.local beside it"
                ) from None


def repository(home: Path) -> Any:
    """Open the DVC repository, with its temporary data in the project and without git if there is none."""
    from dvc.repo import Repo

    for name in ("dvc", "dvc_data", "dvc_objects"):  # we report their errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    core = {
        "no_scm": not (home / ".git").exists(),
        "site_cache_dir": str(home / ".atelier" / "dvc"),
        "analytics": False,
    }
    return Repo(str(home), config={"core": core})


def init(home: Path) -> None:
    """Initialise DVC in the project if necessary."""
    folder = home / ".dvc"
    folder.mkdir(exist_ok=True)
    for name, text in (("config", CONFIG), (".gitignore", "/config.local\n/tmp\n/cache\n")):
        if not (folder / name).exists():
            (folder / name).write_text(text, "utf-8")


def snapshot(home: Path, name: str, revision: str | None = None) -> tuple[Path, str]:
    """Return an immutable folder with a version of `name`, and the version.

    `revision` is a git revision, a version or at least its first six characters; None: the pinned version.
    """
    home = Path(home).resolve()
    version = resolve(home, name, revision)
    return materialise(home, name, version), version


def materialise(home: Path, name: str, version: str, remote: str | None = None) -> Path:
    """Return the snapshot of a version; create it if it does not exist."""
    folder = snapshot_folder(home, version)
    if not folder.exists():
        with locked(snapshot_lock(home, version)):
            if not folder.exists():
                fetch(home, name, version, remote)
                with new_folder(folder) as new:
                    link(home, version, new)
    return folder


def made_again(home: Path, name: str, version: str) -> Path:
    """Replace the snapshot of a version, and those files of DVC's cache, often the same, that are damaged."""
    folder = snapshot_folder(home, version)
    with locked(snapshot_lock(home, version)):
        for entry in read_listing(home, version) or []:
            source = cached(home, entry["md5"])
            if source.exists() and digest(source, "md5") != entry["md5"]:
                source.unlink()
        remove(folder)
    return materialise(home, name, version)


def resolve(home: Path, name: str, revision: str | None) -> str:
    """Return the version of a revision; raise InputError if there is none or it is ambiguous."""
    if revision is None:
        return pinned(home, name) or first_version(home, name)
    matches = {row["version"] for row in versions(home, name) if abbreviates(revision, row["version"])}
    if at_commit := pinned_at(home, name, revision):
        matches.add(at_commit)
    if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", revision):
        matches.add(revision.removesuffix(".dir") + ".dir")
    if len(matches) > 1:
        options = ", ".join(sorted(matches))
        raise InputError(f"revision {revision!r} of data set {name} is ambiguous: {options}")
    if not matches:
        newest = ", ".join(row["version"][:10] for row in versions(home, name)[:5]) or "none"
        raise InputError(
            f"data set {name} has no revision {revision!r}: give a git revision that has "
            f"{dvc_file(home, name).name}, or a version (known: {newest})"
        )
    return matches.pop()


def first_version(home: Path, name: str) -> str:
    """Track a prepared set for the first time and return its version."""
    if not data_folder(home, name).exists():
        raise InputError(
            f"there is no data set {name!r}: run `atelier data prepare {name}`, or see `atelier data list`"
        )
    return track(home, name).version


def abbreviates(revision: str, version: str) -> bool:
    """Return whether `revision` abbreviates `version`."""
    return bool(re.fullmatch(r"[0-9a-f]{6,32}(\.dir)?", revision)) and version.startswith(revision)


def fetch(home: Path, name: str, version: str, remote: str | None = None) -> None:
    """Ensure that the cache has `version`, from the prepared folder if possible, else from the remote."""
    if is_cached(home, version):
        return
    folder = data_folder(home, name)
    if pinned(home, name) == version and folder.exists() and folder_md5(folder) == version:
        track(home, name)
        return
    if not remotes(home):
        raise InputError(
            f"version {version[:10]} of data set {name} is not on this machine and there is no DVC remote: "
            f"prepare the set again (`atelier data prepare`), or configure a remote that has it"
        )
    in_dvc(home, partial(transfer, version=version, remote=remote, pull=True))
    if not is_cached(home, version):
        raise InputError(f"version {version[:10]} of data set {name} is missing or damaged in the remote")


def link(home: Path, version: str, folder: Path) -> None:
    """Link the files of `version` into `folder`, read-only, after verifying their hashes."""
    for entry in read_listing(home, version) or []:
        source, target = cached(home, entry["md5"]), folder / entry["relpath"]
        if ".." in Path(entry["relpath"]).parts or not target.is_relative_to(folder):
            raise RunError(f"version {version} names a file outside its folder: {entry['relpath']}")
        if digest(source, "md5") != entry["md5"]:
            source.unlink()  # the next attempt fetches it again
            raise RunError(
                f"DVC's cache had a damaged copy of {entry['relpath']}, now removed: run the command again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # on another file system, or no hard links
            shutil.copyfile(source, target)
        target.chmod(0o444)


def set_remote(home: Path, url: str, name: str = "storage") -> None:
    """Set the default remote to `url`, a folder or s3://bucket/path; AWS_* variables give endpoint and keys.

    A folder, or a URL with credentials, is written to .dvc/config.local, for this machine; another URL to
    .dvc/config, which git tracks.
    """
    home = Path(home).resolve()
    store = Store(url if url.startswith("s3") else public_url(url))  # DVC takes credentials of other URLs
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InputError(f"remote name {name!r} is not accepted: use letters, digits, '_' and '-'")

    def edit(repo: Any) -> None:
        level = "local" if store.is_local or public_url(url) != url.rstrip("/") else "repo"
        with repo.config.edit(level) as config:
            config["remote"][name] = {"url": store.path() if store.is_local else url, "verify": True}
            config["core"]["remote"] = name

    in_dvc(home, edit)


def push(
    home: Path, names: Sequence[str] | None = None, remote: str | None = None
) -> Sequence[Mapping[str, Any]]:
    """Copy the pinned versions to the remote; return [{name, version, files}], the number of new files."""
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


def pull(
    home: Path, names: Sequence[str] | None = None, remote: str | None = None
) -> Sequence[Mapping[str, Any]]:
    """Copy the pinned versions from the remote to data/<name>/; return [{name, version, changed}].

    A folder whose contents are in no version is not overwritten.
    """
    home = Path(home).resolve()
    rows = []
    for name in names or tracked(home):
        version = pin_of(home, name)
        copy = materialise(home, name, version, remote)
        rows.append({"name": name, "version": version, "changed": restore(home, name, copy, version)})
    return rows


def restore(home: Path, name: str, copy: Path, version: str) -> bool:
    """Replace data/<name>/ by the version; return False if it is that version already."""
    with locked(data_lock(home, name)):
        folder = data_folder(home, name)
        if folder.exists() and (current := folder_md5(folder)) == version:
            return False
        if folder.exists() and not is_cached(home, current):
            raise InputError(f"data/{name} has data that is in no version: delete or track it before pulling")
        with new_folder(folder) as new:
            shutil.copytree(copy, new, dirs_exist_ok=True, copy_function=shutil.copyfile)
        return True


def transfer(repo: Any, version: str, remote: str | None, *, pull: bool) -> int:
    """Copy a version between cache and remote; return the number of copied files."""
    from dvc_data.hashfile.hash_info import HashInfo

    cache, objects = repo.cache.local, remote_objects(repo, remote)
    source, target = (objects, cache) if pull else (cache, objects)
    with explained(f"{'pulling from' if pull else 'pushing to'} the DVC remote", address_of(objects)):
        if not source.exists(version):
            return 0
        # Bypass DVC's index of the remote, which would not notice that a remote was emptied, and verify the
        # objects, so that no damaged one enters the cache.
        hashes = {HashInfo("md5", version)}
        result = repo.cloud.transfer(source, target, hashes, shallow=False, cache_odb=source, verify=True)
    if result.failed and not pull:
        raise RunError(
            f"{len(result.failed)} files of version {version[:10]} could not be copied to the DVC remote"
        )
    return len(result.transferred)


def remote_objects(repo: Any, remote: str | None) -> Any:
    """Return the object database of a remote; None is the default remote."""
    from dvc.config import ConfigError

    try:
        with explained("opening the DVC remote"):
            return repo.cloud.get_remote_odb(remote)
    except ConfigError:  # also NoRemoteError
        name = f" called {remote!r}" if remote else ""
        raise InputError(
            f"there is no DVC remote{name}: `atelier data remote FOLDER_OR_S3_URL` sets one"
        ) from None


def address_of(objects: Any) -> str:
    """Return where an object database lies."""
    protocol = objects.fs.protocol
    return public_url(objects.path if protocol == "local" else f"{protocol}://{objects.path}")


@contextmanager
def explained(action: str, address: str = "") -> Iterator[None]:
    """Raise the errors of DVC, and of the object store at an address, with one sentence."""
    from dvc.config import ConfigError

    try:
        yield
    except (InputError, RunError, ConfigError):
        raise
    except Exception as error:
        if address and isinstance(refusal := readable(error, address), InputError):
            raise refusal from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise RunError(
            f"{action} failed ({reason}): check its URL, the network and the AWS_* variables"
        ) from error


def status(home: Path, *, ask_remote: bool = True) -> Sequence[Mapping[str, Any]]:
    """Return {name, prepared, pinned, version, changed, cached, remote} per set; remote None: unknown."""
    home = Path(home).resolve()
    prepared = sorted(path.parent.name for path in (home / "data").glob("[!.]*/card.json"))
    rows = [state(home, name) for name in dict.fromkeys([*tracked(home), *prepared])]
    pinned_rows = [row for row in rows if row["pinned"]]
    if ask_remote and pinned_rows and remotes(home):
        answers = in_dvc(home, lambda repo: [is_in_remote(home, repo, row["pinned"]) for row in pinned_rows])
        for row, answer in zip(pinned_rows, answers, strict=True):
            row["remote"] = answer
    return rows


def state(home: Path, name: str) -> dict[str, Any]:
    """Return the status of a set without asking a remote."""
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
    """Return whether the default remote has every file of a version."""
    remote = remote_objects(repo, None)
    objects = {version, *(entry["md5"] for entry in read_listing(home, version) or [])}
    with explained("asking the DVC remote", address_of(remote)):
        return objects == set(remote.oids_exist(list(objects)))
