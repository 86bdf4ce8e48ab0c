"""The store: a folder, local or on any fsspec URL: atomic writes, exclusive creation, readable errors.

This is the only module that retries transient errors of object stores.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from components.common import atomic
from components.common.errors import InputError, RunError
from components.common.finite import finite
from components.common.plain_json import parsed
from components.store import checked, mirrors
from components.store.errors import explain, is_absent, is_taken, transient, unmasked, unopened
from components.store.urls import S3, confined, inside, is_confined, normalised

if TYPE_CHECKING:
    from components.store.lease import Fence

FIRST_DELAYS = (0.25, 0.5, 1.0)  # seconds between attempts until the first answer, so a typo fails quickly

LATER_DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)  # after it: an outage will probably end

S3_OPTIONS: Mapping[str, Any] = {
    "use_listings_cache": False,  # other processes write too
    "config_kwargs": {
        "connect_timeout": 3,
        "read_timeout": 60,
        "retries": {"total_max_attempts": 1},
        "max_pool_connections": 32,  # more than transfer.THREADS; the default is 10
    },
}

INHERITED: list[Any] = []  # filesystems of a parent process: collecting them would break its open connections

T = TypeVar("T")

Names = list[str]  # `list` is a method of Store


class Store:
    """A folder on any fsspec URL. Picklable: each process opens a filesystem, since none survives a fork.

    A store with a `fence` asks before each write and raises LostLease once the lease is lost.
    """

    def __init__(
        self,
        url: str | Path,
        options: Mapping[str, Any] | None = None,  # of the fsspec filesystem; secrets: in the environment
        *,
        attempts: int | None = None,  # per call; None: one more than FIRST_DELAYS or LATER_DELAYS
        fence: Fence | None = None,
    ):
        self.url, self.protocol = normalised(str(url))  # without credentials, which the environment has
        self.options, self.attempts, self.fence = dict(options or {}), attempts, fence
        self._link = _Link()
        self._root: str | None = None

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __getstate__(self) -> Mapping[str, Any]:
        return {**self.__dict__, "_link": _Link()}

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine or mounted there."""
        return self.protocol == "file"

    @property
    def atomic_create(self) -> bool:
        """Whether exactly one of several concurrent calls of `create` succeeds."""
        return self.is_local or self.protocol in S3

    @property
    def fs(self) -> Any:
        """The fsspec filesystem of this process."""
        if self._link.process != os.getpid():
            fs = self._make(S3_OPTIONS if self.protocol in S3 else {})
            if self.protocol in S3:
                fs.retries = 1  # would multiply with ours
            self._link.use(fs)
        return self._link.fs

    @property
    def root(self) -> str:
        """The path of this store inside `fs`."""
        if self._root is None:
            self._root = self.url if self.is_local else self.fs._strip_protocol(self.url).rstrip("/")
        return self._root

    def child(self, *parts: str) -> Store:
        """Return a folder of this store as a store."""
        start = self.url if self.url.endswith("/") else f"{self.url}/"
        return self._like(start + "/".join(confined(part) for part in parts), self.attempts, self.fence)

    def with_attempts(self, attempts: int | None) -> Store:
        """Return the same store with another number of attempts."""
        return self._like(self.url, attempts, self.fence)

    def fenced(self, fence: Fence | None) -> Store:
        """Return the same store, which writes only as long as the lease is held."""
        return self._like(self.url, self.attempts, fence)

    def path(self, rel: str = "") -> str:
        """Return the full path of `rel` inside `fs`."""
        return f"{self.root}/{confined(rel)}" if rel else self.root

    def check(self) -> None:
        """Raise InputError unless the store answers and can be listed, with short timeouts."""
        timeout = {"config_kwargs": {"read_timeout": 3}} if self.protocol in S3 else {}
        Store(self.url, {**self.options, **timeout}, attempts=2).list()

    # Reading

    def read_bytes(self, rel: str) -> bytes:
        """Return the content of `rel`; raise FileNotFoundError if it does not exist."""
        path, at_once = self.path(rel), {"max_concurrency": 1}  # else s3fs asks for the size before each read
        return self._call(lambda: self.fs.cat_file(path, **(at_once if self.protocol in S3 else {})))

    def read_part(self, rel: str, start: int, end: int) -> bytes:
        """Return bytes [start, end) of `rel`, fewer if it is shorter."""
        path = self.path(rel)
        return self._call(lambda: self.fs.cat_file(path, start=start, end=end))

    def read_text(self, rel: str) -> str:
        """Return the text in `rel`."""
        return self.read_bytes(rel).decode()

    def read_json(self, rel: str) -> Any:
        """Return the JSON value in `rel`; see MISSING_OR_TORN for what it raises if there is none."""
        return parsed(self.read_bytes(rel))

    def exists(self, rel: str = "") -> bool:
        """Return whether `rel` is a file or a non-empty folder."""
        return self._info(rel) is not None

    def size(self, rel: str) -> int:
        """Return the size of the file `rel` in bytes."""
        info = self._info(rel)
        if info is None:
            raise self._missing(rel)
        return int(info["size"])

    def list(self, rel: str = "") -> Names:
        """Return the names directly in `rel`, sorted; none if it does not exist.

        Names that no method accepts are left out; on object stores, others may have written them.
        """
        path = self.path(rel)
        try:
            listing = self._call(lambda: self.fs.ls(path, detail=False))
        except FileNotFoundError:
            return []
        paths = (entry.rstrip("/") for entry in listing if entry.strip("/") != path.strip("/"))
        names = {path.rpartition("/")[2] for path in paths}
        return sorted(name for name in names if not name.startswith(atomic.HIDDEN) and is_confined(name))

    def find(self, rel: str = "") -> Names:
        """Return the paths of all files below `rel`, relative to it and sorted; some may begin with `..`."""
        return list(self.sizes(rel))

    def sizes(self, rel: str = "") -> dict[str, int]:
        """Return the sizes in bytes of all files below `rel`, by path as in `find`."""
        return {name: int(info.get("size") or 0) for name, info in self.infos(rel).items()}

    def infos(self, rel: str = "") -> dict[str, Mapping[str, Any]]:
        """Return what the filesystem lists of each file below `rel`, by path as in `find`."""
        start = self.path(rel).rstrip("/") + "/"
        try:
            infos = self._call(lambda: self.fs.find(start, detail=True))
        except FileNotFoundError:
            return {}
        below = {path[len(start) :]: info for path, info in infos.items() if path.startswith(start)}
        files = (name for name in below if name and not name.endswith("/"))  # such keys mark folders
        return {name: below[name] for name in sorted(files) if f"/{atomic.HIDDEN}" not in f"/{name}"}

    # Writing

    def write_bytes(self, rel: str, data: bytes) -> None:
        """Write `data` to `rel` atomically: readers see the old content or all of the new."""
        path = self.writable(rel)
        if not self.is_local:
            self._call(lambda: self.fs.pipe_file(path, data))
            return
        with self._explained(), atomic.replacing(Path(path)) as temporary:
            temporary.write_bytes(data)

    def write_text(self, rel: str, text: str) -> None:
        """Write `text` to `rel` atomically, in UTF-8."""
        self.write_bytes(rel, text.encode())

    def write_json(self, rel: str, value: Any) -> None:
        """Write `value` to `rel` as standard JSON: NaN and infinity become null."""
        self.write_text(rel, json.dumps(finite(value), indent=1, allow_nan=False) + "\n")

    def create(self, rel: str, data: bytes) -> bool:
        """Write `data` to `rel`, or return False if it exists. Exactly one writer wins if `atomic_create`."""
        path = self.writable(rel)
        if self.is_local:
            with self._explained():
                return atomic.create(Path(path), data)
        # If the answer gets lost, the next attempt (ours or the client library's) finds our own object. The
        # mark tells it from another writer's.
        mark = uuid.uuid4().hex
        marked = {"Metadata": {"writer": mark}} if self.protocol in S3 else {}
        if self._call(lambda: _create(self.fs, path, data, marked)):
            return True
        return bool(marked) and self._mark(path) == mark

    def delete(self, rel: str) -> None:
        """Remove the file or folder `rel` if it exists."""
        path = self.writable(rel)
        if self.is_local:
            with self._explained():
                return atomic.remove(Path(path))
        for _ in range(3):  # s3fs does not report objects that the server failed to delete
            paths = [f"{path}/{name}" for name in self._find_confined(rel)] or (
                [path] if self._is_file(rel) else []
            )
            if not paths:
                return None
            with suppress(FileNotFoundError):
                self._call(lambda paths=paths: self.fs.rm(paths))  # type: ignore[misc]
        raise RunError(f"{self.url}: {rel} could not be deleted")

    def remove_unfinished(self, rel: str = "", *, older: float = 0.0, deep: bool = True) -> None:
        """Remove what killed writers left below `rel`, or directly in it; see `atomic.remove_unfinished`.

        Other stores than local ones have none.
        """
        if self.is_local:
            with self._explained():
                atomic.remove_unfinished(Path(self.path(rel)), older=older, deep=deep)

    # Transfers from and to this machine

    def upload(self, local: Path | str, rel: str) -> None:
        """Copy the file or folder `local` to `rel`, each file atomically."""
        pairs = _pairs(Path(local), rel)
        targets = [self.path(target) for _, target in pairs]
        if not self.is_local:
            self._check_fence()
            self._call(lambda: self.fs.put([str(source) for source, _ in pairs], targets))
            return
        for (source, _), target in zip(pairs, targets, strict=True):
            self._check_fence()
            with self._explained(), atomic.replacing(Path(target)) as temporary:
                shutil.copyfile(source, temporary)

    def stream(self, local: Path, rel: str, **options: Any) -> None:
        """Copy a file to `rel` of a remote store in parts; `options` are those of its filesystem."""
        path = self.writable(rel)
        self._call(lambda: self.fs.put_file(str(local), path, **options))

    def download(self, rel: str, local: Path | str) -> None:
        """Copy the file or folder `rel` to `local` atomically."""
        local = Path(local)
        with self._explained(), atomic.temporary_sibling(local) as temporary:
            self._fetch(rel, temporary)
            atomic.sync(temporary)
            if local.is_dir():  # no call replaces a non-empty folder
                with atomic.temporary_sibling(local) as old:
                    local.rename(old)
                    temporary.rename(local)
            else:
                temporary.replace(local)

    def local_copy(self, rel: str) -> Path:
        """Return a path on this machine with the content of `rel`, which must be immutable.

        This is the path itself for a local store, else a mirror in the node's cache folder. A mirror whose
        files do not have the sizes that were noted with it is made again. Copies of a finished stage's files
        are compared with their hashes.
        """
        if self.is_local:
            path = Path(self.path(rel))
            if not path.exists():
                raise self._missing(rel)
            return path
        with self._explained():
            fetch = partial(checked.copy, self, rel, fetch=self._fetch)
            return mirrors.mirror(f"{self.url}\n{rel}", rel.rpartition("/")[2], fetch)

    def arrow(self) -> tuple[Any, str]:
        """Return a pyarrow filesystem and the path of this store in it, for Ray."""
        import pyarrow.fs

        if self.is_local:
            return pyarrow.fs.LocalFileSystem(), self.path()
        # Ray does not retry, so this filesystem keeps the client library's retries.
        fs = self._make({"use_listings_cache": False} if self.protocol in S3 else {})
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs)), self.root

    # Implementation

    def writable(self, rel: str) -> str:
        """Return the full path of a file to write; raise LostLease if a fence forbids it."""
        path = self.path(inside(rel))
        self._check_fence()
        return path

    def _check_fence(self) -> None:
        if self.fence is not None:
            self.fence.check(self.attempts)

    def _like(self, url: str, attempts: int | None, fence: Fence | None) -> Store:
        """Return another store that uses the same connections."""
        other = Store(url, self.options, attempts=attempts, fence=fence)
        other._link = self._link
        return other

    def _make(self, defaults: Mapping[str, Any]) -> Any:
        import fsspec.core

        options = {**defaults, **self.options, "skip_instance_cache": True}
        if "config_kwargs" in options:
            options["config_kwargs"] = {**defaults.get("config_kwargs", {}), **options["config_kwargs"]}
        try:
            fs = fsspec.core.url_to_fs(self.url, **options)[0]
            fs._strip_protocol(self.url)
        except ImportError as error:
            raise InputError(f"{self.url}: a package for {self.protocol}:// is missing ({error})") from error
        except OSError as error:  # some connect at once
            explain(error, self.url)
        except Exception as error:  # filesystems raise many kinds for a URL that does not suit them
            raise unopened(error, self.url) from error
        # Ray stores pickled filesystems; each process adds fsspec's configuration, which may have passwords.
        configured = fsspec.config.conf.get(self.protocol, {}).keys() - options.keys()
        fs.storage_options = {k: v for k, v in fs.storage_options.items() if k not in configured}
        return fs

    def _call(self, do: Callable[[], T]) -> T:
        """Return `do()`, retrying transient errors; all retries happen here."""
        attempt = 0
        while True:
            try:
                result = do()
                self._link.answered = True
                return result
            except NotADirectoryError as error:  # nothing is below a file
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), error.filename) from error
            except Exception as error:
                self._link.answered = self._link.answered or is_absent(error)
                delays = LATER_DELAYS if self._link.answered else FIRST_DELAYS
                last = len(delays) if self.attempts is None else self.attempts - 1
                if self.is_local or attempt >= last or not transient(error):
                    explain(error, self.url)
            time.sleep(delays[min(attempt, len(delays) - 1)] * random.uniform(0.8, 1.2))
            attempt += 1

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            explain(error, self.url)

    def _info(self, rel: str) -> Mapping[str, Any] | None:
        path = self.path(rel)
        try:
            return self._call(lambda: unmasked(lambda: self.fs.info(path)))
        except FileNotFoundError:
            return None

    def _find_confined(self, rel: str) -> Names:
        """Return `find`; raise InputError for a name such as ../x, which object stores accept."""
        return [confined(name) for name in self.find(rel)]

    def _is_file(self, rel: str) -> bool:
        return (self._info(rel) or {}).get("type") == "file"

    def _missing(self, rel: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, "not in the store", f"{self.url}/{rel}")

    def _mark(self, path: str) -> str | None:
        with suppress(FileNotFoundError):  # the winner has deleted it meanwhile
            return self._call(lambda: self.fs.metadata(path)).get("writer")
        return None

    def _fetch(self, rel: str, local: Path) -> None:
        """Copy `rel` to `local`, which must not exist."""
        path, names = self.path(rel), self._find_confined(rel)
        if not names:
            if not self._is_file(rel):
                raise self._missing(rel)
            self._call(lambda: self.fs.get_file(path, str(local)))
            return
        targets = [local / name for name in names]
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        self._call(lambda: self.fs.get([f"{path}/{name}" for name in names], [str(t) for t in targets]))


def _create(fs: Any, path: str, data: bytes, options: Mapping[str, Any]) -> bool:
    try:
        fs.pipe_file(path, data, mode="create", **options)
        return True
    except Exception as error:
        if is_taken(error):
            return False
        raise


class _Link:
    """The filesystem of this process, shared by a store and its children."""

    def __init__(self) -> None:
        self.process: int | None = None
        self.fs: Any = None
        self.answered = False  # whether the server has ever answered

    def use(self, fs: Any) -> None:
        """Replace the filesystem; an inherited one stays referenced."""
        INHERITED.append(self.fs)
        self.fs = fs
        self.process = os.getpid()  # last: another thread may read `fs` meanwhile


def open_store(url: str, home: Path) -> Store:
    """Open a project's store; a `url` without a protocol is a folder relative to the project's `home`."""
    return Store(url if "://" in url else home / Path(url).expanduser())


def _pairs(local: Path, rel: str) -> list[tuple[Path, str]]:
    """Return (local file, target) for every file of an upload."""
    if local.is_file():
        return [(local, inside(rel))]
    if not local.is_dir():
        raise FileNotFoundError(errno.ENOENT, "nothing to upload", str(local))
    files = sorted(path for path in local.rglob("*") if path.is_file())
    return [(path, f"{rel}/{path.relative_to(local).as_posix()}".lstrip("/")) for path in files]
