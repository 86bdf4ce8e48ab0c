"""Read the pinned, prepared, cached and earlier versions of data sets from DVC's files, without DVC.

A version is the md5 of a folder as DVC writes it ("0123...cdef.dir"). The `.dvc` file of a data set pins one
and is committed. Every run reads versions, and importing DVC takes seconds.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.hashing import digest
from components.common.plain_yaml import NOT_YAML, read_yaml

ROOT_SET = "mnist5k"  # the quick start's data; pinned by data.dvc in the root, others by data/<name>.dvc


def dvc_file(home: Path, name: str) -> Path:
    """Return the file that pins the version of `name`."""
    return Path(home) / ("data.dvc" if name == ROOT_SET else f"data/{name}.dvc")


def pinned(home: Path, name: str) -> str | None:
    """Return the pinned version; None if the set is not versioned."""
    file = dvc_file(home, name)
    return pin_in(file.read_text("utf-8"), str(file)) if file.exists() else None


def pin_in(text: str, source: str) -> str | None:
    """Return the version in the text of a .dvc file; `source` names it in errors."""
    try:
        return read_yaml(text)["outs"][0].get("md5")
    except (*NOT_YAML, LookupError, TypeError):
        raise InputError(
            f"{source} is not a DVC file: restore it (git checkout) or track the data set again"
        ) from None


def folder_md5(folder: Path) -> str:
    """Return the version of a folder as DVC computes it: the md5 of the sorted list of files and md5s."""
    files = sorted(files_in(folder).items())
    return listing_md5([{"md5": digest(path, "md5"), "relpath": relative} for relative, path in files])


def listing_md5(listing: list[dict[str, str]]) -> str:
    """Return the version whose files are `listing`."""
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def files_in(folder: Path) -> dict[str, Path]:
    """Return all files below `folder` by relative path."""
    return {p.relative_to(folder).as_posix(): p for p in Path(folder).rglob("*") if p.is_file()}


def changed_files(home: Path, version: str, folder: Path) -> list[str]:
    """Return the files of `folder` that differ from `version`; none if the cache lacks the version."""
    listing = read_listing(home, version)
    if listing is None:
        return []
    expected = {entry["relpath"]: entry["md5"] for entry in listing}
    actual = {rel: digest(path, "md5") for rel, path in files_in(folder).items()}
    return sorted(rel for rel in expected | actual if expected.get(rel) != actual.get(rel))


def data_folder(home: Path, name: str) -> Path:
    """Return the folder of the prepared set."""
    return Path(home) / "data" / name


def data_lock(home: Path, name: str) -> Path:
    """Return the lock to hold while writing data/<name>/ or tracking it."""
    return Path(home) / ".atelier" / "locks" / f"data-{name}"


def cache_folder(home: Path) -> Path:
    """Return the folder of DVC's cache: as configured, by default in `.dvc/cache`."""
    return Path(home) / ".dvc" / config(home).get("cache", "dir", fallback="cache") / "files" / "md5"


def config(home: Path) -> configparser.ConfigParser:
    """Return DVC's configuration of the project."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read([Path(home) / ".dvc" / "config", Path(home) / ".dvc" / "config.local"])
    return parser


def snapshot_lock(home: Path, version: str) -> Path:
    """Return the lock to hold while writing the immutable copy of a version."""
    return home / ".atelier" / "locks" / f"snapshot-{snapshot_folder(home, version).name}"


def snapshot_folder(home: Path, version: str) -> Path:
    """Return the path of the immutable copy of a version."""
    return home / ".atelier" / "data" / version.removesuffix(".dir")


def cached(home: Path, md5: str) -> Path:
    """Return the file of the object `md5` in the cache."""
    return cache_folder(home) / md5[:2] / md5[2:]


def read_listing(home: Path, version: str) -> list[dict[str, str]] | None:
    """Return the files of a version from the cache; None if it is not cached."""
    try:
        listing = json.loads(cached(home, version).read_text("utf-8"))
        return listing if listing_md5(listing) == version else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def is_cached(home: Path, version: str) -> bool:
    """Return whether the cache has every file of `version`."""
    listing = read_listing(home, version)
    return listing is not None and all(cached(home, entry["md5"]).exists() for entry in listing)


def note_version(home: Path, name: str, version: str) -> None:
    """Add a version to this machine's history, which is the only one without git."""
    if any(row["version"] == version for row in noted(home, name)):
        return
    file = history_file(home, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    row = {"version": version, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    # The last line of a killed process may have no end.
    begin = "\n" if file.exists() and not file.read_bytes().endswith(b"\n") else ""
    with open(file, "a", encoding="utf-8") as history:
        history.write(begin + json.dumps(row) + "\n")


def noted(home: Path, name: str) -> list[dict[str, str]]:
    """Return the versions in this machine's history, oldest first."""
    file, rows = history_file(home, name), []
    for line in file.read_text("utf-8").splitlines() if file.exists() else []:
        with suppress(ValueError, RecursionError):  # the incomplete last line of a killed process
            row = json.loads(line)
            if isinstance(row, dict) and {"version", "when"} <= row.keys():
                rows.append(row)
    return rows


def history_file(home: Path, name: str) -> Path:
    """Return the file with this machine's history of versions."""
    return Path(home) / ".atelier" / "versions" / f"{name}.jsonl"


def versions(home: Path, name: str) -> list[Mapping[str, Any]]:
    """Return all known versions, newest first: {version, when, commit, message, current}."""
    current = pinned(home, name)
    rows = committed(home, name)
    in_git = {row["version"] for row in rows}
    rows += [
        {**row, "commit": None, "message": ""} for row in noted(home, name) if row["version"] not in in_git
    ]
    rows.sort(key=lambda row: datetime.fromisoformat(row["when"]), reverse=True)
    return [{**row, "current": row["version"] == current} for row in rows]


def committed(home: Path, name: str) -> list[Mapping[str, Any]]:
    """Return the versions in git's history of the .dvc file, each with the latest commit that pins it."""
    file = dvc_file(home, name).relative_to(home).as_posix()
    log = git(home, "log", "--format=%H%x00%cI%x00%s", "--", file) or ""
    rows: dict[str, Mapping[str, Any]] = {}
    for line in log.splitlines():
        commit, when, message = line.split("\0", 2)
        version = pinned_at(home, name, commit)
        if version and version not in rows:
            rows[version] = {"version": version, "when": when, "commit": commit, "message": message}
    return list(rows.values())


def pinned_at(home: Path, name: str, revision: str) -> str | None:
    """Return the version pinned at the git revision; None if the revision does not exist or pins none."""
    commit = git(home, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not commit:
        return None
    file = dvc_file(home, name).relative_to(home).as_posix()
    text = git(home, "show", f"{commit.strip()}:./{file}")
    return pin_in(text, f"{file} at {revision}") if text else None


def git(home: Path, *arguments: str) -> str | None:
    """Return the output of a git command; None if it fails or git is not installed."""
    command = ["git", "-C", str(home), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, ValueError, subprocess.CalledProcessError):  # ValueError: a null character
        return None


def tracked(home: Path) -> list[str]:
    """Return the names of all versioned sets."""
    names = sorted(path.stem for path in (Path(home) / "data").glob("*.dvc") if path.is_file())
    return ([ROOT_SET] if dvc_file(home, ROOT_SET).exists() else []) + names


def pin_of(home: Path, name: str) -> str:
    """Return the pinned version of a set; raise InputError if the set is not versioned."""
    if version := pinned(home, name):
        return version
    raise InputError(
        f"data set {name!r} is not versioned; versioned here: {', '.join(tracked(home)) or 'none'}"
    )


def remotes(home: Path) -> list[str]:
    """Return the names of the configured remotes."""
    return sorted(set(re.findall(r"remote \"(.+?)\"", " ".join(config(home).sections()))))
