"""Read the source of an added data set again, with the options that it was added with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.atomic import replacing
from components.common.errors import InputError
from components.common.hashing import json_sha256
from components.data.sources.base import Progress
from components.data.sources.catalogue import KNOWN
from components.data.sources.prepare import add, addition_record
from components.data.versioning import dvc
from components.store import Store

MARKS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "modify", "updated", "md5Hash")
"""What file systems state of a file that differs once its content does."""


def refresh(home: Path, name: str, progress: Progress | None = None) -> bool:
    """Prepare a new version of an added data set if its source has changed; return whether there is one.

    If the file system states sizes and times, or hashes, and none has changed, no image is read. Data sets
    that come with Atelier have no source that changes.

    Raises:
        InputError: the set was not added here, or its source cannot be read any more.
    """
    if name in KNOWN:
        return False
    record = addition_record(home, name)
    if not record.exists():
        raise InputError(
            f"data set {name} was not added on this machine, so its source is not known: set data.refresh to "
            f"false, or add it here with `atelier data add {name} FOLDER --replace`"
        )
    addition: dict[str, Any] = json.loads(record.read_text("utf-8"))
    options, before = addition["options"], addition.get("fingerprint")
    now = fingerprint(options)
    if now is not None and now == before:
        return False
    add(name, home=home, **options, progress=progress)
    is_new = dvc.track(home, name).new
    with replacing(record) as new:
        new.write_text(json.dumps({"options": options, "fingerprint": now}), "utf-8")
    return is_new


def fingerprint(options: Mapping[str, Any]) -> str | None:
    """Return a hash of what file systems state of all files of a source; None if that is too little."""
    stated: list[list[str]] = []
    for source in filter(None, (options["source"], options["sources"], options["captions"])):
        store = Store(source.removeprefix("file://"))
        files = store.fs.find(store.path(), detail=True)
        for path, info in sorted(files.items()):
            marks = [f"{mark}={info[mark]}" for mark in MARKS if info.get(mark) is not None]
            if not marks or info.get("size") is None:
                return None
            stated.append([path, str(info["size"]), *marks])
    return json_sha256(stated) if stated else None
