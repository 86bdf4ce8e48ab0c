"""The store: one folder, local or on any fsspec URL, with whole writes, exclusive creation and one-sentence errors.

Transient errors of object stores are retried here and nowhere else. Leases are in lease.py, background uploads in
upload.py.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import random
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.errors import InputError, RunError

FIRST = (0.25, 0.5, 1.0)  # seconds between attempts until the store has answered once: a typo is told quickly
LATER = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)  # after that: it was there, so it will probably come back
TRANSIENT = {errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ECONNRESET, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EIO)}
FULL = {errno.ENOSPC, errno.EDQUOT}
HIDDEN = ".tmp-"  # prefix of a file that is still being written
S3 = ("s3", "s3a")
S3_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,  # other processes write too
    "config_kwargs": {"connect_timeout": 3, "read_timeout": 60, "retries": {"total_max_attempts": 1}},
}


class Unreachable(InputError):
    """The store did not answer, after the retries; whoever has time may try again."""


class Store:
    """A folder on any fsspec URL. Picklable: every process makes a filesystem of its own, for they do not survive a fork."""

    def __init__(self, url: str | Path, options: dict[str, Any] | None = None, *, attempts: int | None = None):
        self._raw, self.protocol = _normal(str(url))
        self.options = dict(options or {})
        self.attempts = attempts  # at most this many per call; None: patience as FIRST and LATER say
        self._made: tuple[int, Any, str] | None = None  # process, filesystem, root
        self._answered = False

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None, "_answered": False}

    @property
    def url(self) -> str:
        """Where it is, to be shown: without user and password."""
        return re.sub(r"://[^/@]*:[^/@]*@", "://", self._raw)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine (or mounted there)."""
        return self.protocol == "file"

    @property
    def atomic_create(self) -> bool:
        """Whether `create` has exactly one winner here, however many try at once."""
        return self.is_local or self.protocol in S3

    @property
    def fs(self) -> Any:
        """The fsspec filesystem of this process."""
        return self._filesystem()[0]

    @property
    def root(self) -> str:
        """The path of this store inside `fs`."""
        return self._filesystem()[1]

    def child(self, *parts: str) -> Store:
        """The store in a folder of this one."""
        child = Store(self._raw, self.options, attempts=self.attempts)
        child._raw = "/".join([self._raw.rstrip("/"), *(_confined(part) for part in parts)])
        return child

    def path(self, rel: str = "") -> str:
        """The full path of `rel`, for calls of `fs`."""
        return f"{self.root}/{_confined(rel)}" if rel else self.root

    # Reading

    def read_bytes(self, rel: str) -> bytes:
        """The content of `rel`; FileNotFoundError if it is not there."""
        return self._call(lambda: self.fs.cat_file(self.path(rel)))

    def read_text(self, rel: str) -> str:
        """The text in `rel`."""
        return self.read_bytes(rel).decode()

    def read_json(self, rel: str) -> Any:
        """The JSON value in `rel`."""
        return json.loads(self.read_bytes(rel))

    def exists(self, rel: str = "") -> bool:
        """Whether `rel` is there, a file or a folder with something in it."""
        return self._call(lambda: self.fs.exists(self.path(rel)))

    def size(self, rel: str) -> int:
        """Bytes of the file `rel`."""
        return int(self._call(lambda: self.fs.info(self.path(rel)))["size"])

    def list(self, rel: str = "") -> list[str]:
        """Names of what is directly in `rel`, sorted; none if it is not there."""
        path = self.path(rel)
        try:
            found = self._call(lambda: self.fs.ls(path, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = {name.rstrip("/").rpartition("/")[2] for name in found if name.strip("/") != path.strip("/")}
        return sorted(name for name in names if not name.startswith(HIDDEN))

    def find(self, rel: str = "") -> list[str]:
        """Paths, relative to `rel`, of all files below it, sorted."""
        start = self.path(rel).rstrip("/") + "/"
        try:
            found = self._call(lambda: self.fs.find(start))
        except FileNotFoundError:
            return []
        below = (os.fspath(name)[len(start) :] for name in found if name.startswith(start))
        return sorted(name for name in below if name and HIDDEN not in name)

    # Writing

    def write_bytes(self, rel: str, data: bytes) -> None:
        """Put `data` at `rel`: readers see the old content or all of the new, never a part."""
        path = self.path(_file(rel))
        if not self.is_local:
            return self._call(lambda: self.fs.pipe_file(path, data))
        with self._explained(), _replacing(Path(path)) as temporary:
            temporary.write_bytes(data)

    def write_text(self, rel: str, text: str) -> None:
        """Put `text` at `rel`."""
        self.write_bytes(rel, text.encode())

    def write_json(self, rel: str, value: Any) -> None:
        """Put `value` at `rel` as JSON that browsers read too: a number that is not finite becomes null."""
        self.write_text(rel, json.dumps(_finite(value), indent=1, allow_nan=False) + "\n")

    def create(self, rel: str, data: bytes) -> bool:
        """Put `data` at `rel` unless something is there; False if so. Of several at once one wins (`atomic_create`)."""
        path = self.path(_file(rel))
        if self.is_local:
            with self._explained():
                return _create_local(Path(path), data)
        return self._create_remote(path, data)

    def delete(self, rel: str) -> None:
        """Remove the file or folder `rel`; nothing happens if it is not there."""
        path = self.path(_file(rel))
        if self.is_local:
            with self._explained(), suppress(FileNotFoundError):
                folder = Path(path).is_dir() and not Path(path).is_symlink()
                return shutil.rmtree(path) if folder else Path(path).unlink()
        for _ in range(3):  # s3fs does not tell when the server kept some
            found = [f"{path}/{name}" for name in self.find(rel)] or ([path] if self._is_file(path) else [])
            if not found:
                return None
            self._call(lambda found=found: self._remove(found))
        raise RunError(f"{self.url}: {rel} could not be deleted")

    # Files and folders of this machine

    def upload(self, local: Path | str, rel: str) -> None:
        """Copy the file or folder `local` to `rel`, each file whole or not at all."""
        local = Path(local)
        if local.is_file():
            pairs = [(local, _file(rel))]
        elif local.is_dir():
            files = sorted(p for p in local.rglob("*") if p.is_file())
            pairs = [(p, "/".join(filter(None, [rel, p.relative_to(local).as_posix()]))) for p in files]
        else:
            raise FileNotFoundError(errno.ENOENT, "nothing to upload", str(local))
        if self.is_local:
            for source, target in pairs:
                with self._explained(), _replacing(Path(self.path(target))) as temporary:
                    shutil.copyfile(source, temporary)
        else:
            targets = [self.path(target) for _, target in pairs]
            self._call(lambda: self.fs.put([str(p) for p, _ in pairs], targets))

    def download(self, rel: str, local: Path | str) -> None:
        """Copy the file or folder `rel` to `local`, complete or not at all; FileNotFoundError if `rel` is not there."""
        local = Path(local)
        with self._explained(), _beside(local) as temporary:
            self._fetch(rel, temporary)
            if local.is_dir():  # a folder cannot replace one that has content
                with _beside(local) as old:
                    local.rename(old)
                    temporary.rename(local)
            else:
                temporary.replace(local)

    def local_copy(self, rel: str) -> Path:
        """A path on this machine with the content of `rel`, which must be something that never changes.

        A local store gives the path itself, any other a mirror in the node's cache folder.
        """
        if self.is_local:
            path = Path(self.path(rel))
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, "not in the store", rel)
            return path
        # A folder of its own for every `rel`: the mirror of a/b does not make that of a look complete.
        address = hashlib.sha256(f"{self.url}\n{rel}".encode()).hexdigest()[:24]
        mirror = cache_folder() / address / (rel.rpartition("/")[2] or "root")
        if not mirror.exists():
            with self._explained(), _beside(mirror) as temporary:
                self._fetch(rel, temporary)
                with suppress(OSError):  # somebody else was faster
                    temporary.rename(mirror)
        return mirror

    def arrow(self) -> tuple[Any, str]:
        """A pyarrow filesystem and the path of this store in it, as Ray wants them."""
        import pyarrow.fs

        if self.is_local:
            return pyarrow.fs.LocalFileSystem(), self.path()
        # Ray does not retry by itself, so this one keeps the retries of the client library.
        fs, root = self._make({"use_listings_cache": False} if self.protocol in S3 else {})
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs)), root

    def check(self) -> None:
        """InputError unless the store answers and lets us list it."""
        if self.is_local:
            return
        with suppress(FileNotFoundError):  # an empty prefix
            self._call(lambda: self.fs.ls(self.path(), detail=False))

    # How it is done

    def _filesystem(self) -> tuple[Any, str]:
        if self._made is None or self._made[0] != os.getpid():
            fs, root = self._make(S3_OPTIONS if self.protocol in S3 else {})
            if self.protocol in S3:
                fs.retries = 1  # ours are enough: the two multiply
            self._made = (os.getpid(), fs, root)
        return self._made[1:]

    def _make(self, defaults: dict[str, Any]) -> tuple[Any, str]:
        import fsspec.core

        if self.is_local:
            return fsspec.filesystem("file", skip_instance_cache=True), self._raw
        try:
            fs, root = fsspec.core.url_to_fs(self._raw, **{**defaults, **self.options}, skip_instance_cache=True)
        except ImportError as error:
            raise InputError(f"{self.url}: {self.protocol}:// needs a package that is not installed: {error}") from error
        except ValueError as error:
            raise InputError(f"{self.url}: not a folder or URL that can be opened ({error})") from error
        return fs, root.rstrip("/")

    def _call(self, do: Callable[[], Any]) -> Any:
        """The one place that retries."""
        for attempt in range(100):
            try:
                result = do()
                self._answered = True
                return result
            except FileNotFoundError as error:
                self._answered = True
                if _code(error) == "NoSuchBucket":
                    raise _explain(error, self) from error
                raise
            except Exception as error:
                if not self._once_more(error, attempt):
                    raise _explain(error, self) from error

    def _once_more(self, error: Exception, attempt: int) -> bool:
        """Whether to try again; if so, wait before."""
        delays = LATER if self._answered else FIRST
        last = len(delays) if self.attempts is None else self.attempts - 1
        if self.is_local or attempt >= last or not transient(error):
            return False
        time.sleep(delays[min(attempt, len(delays) - 1)] * random.uniform(0.8, 1.2))
        return True

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _explain(error, self) from error

    def _create_remote(self, path: str, data: bytes) -> bool:
        # An answer can get lost: then the second attempt meets our own object, which the mark tells from another's.
        mark = {"Metadata": {"writer": uuid.uuid4().hex}} if self.protocol in S3 else {}
        for attempt in range(100):
            try:
                self.fs.pipe_file(path, data, mode="create", **mark)
                self._answered = True
                return True
            except Exception as error:
                if _is_taken(error):
                    return attempt > 0 and bool(mark) and self._writer(path) == mark["Metadata"]["writer"]
                if not self._once_more(error, attempt):
                    raise _explain(error, self) from error
        raise AssertionError("unreachable")

    def _writer(self, path: str) -> str | None:
        return self._call(lambda: self.fs.metadata(path, refresh=True)).get("writer")

    def _is_file(self, path: str) -> bool:
        return self._call(lambda: self.fs.isfile(path))

    def _remove(self, paths: list[str]) -> None:  # type: ignore[valid-type]
        with suppress(FileNotFoundError):
            self.fs.rm(paths)

    def _fetch(self, rel: str, local: Path) -> None:
        """Copy `rel` to `local`, which does not exist."""
        path = self.path(rel)
        names = self.find(rel)
        if not names:
            if not self._is_file(path):
                raise FileNotFoundError(errno.ENOENT, "not in the store", f"{self.url}/{rel}")
            return self._call(lambda: self.fs.get_file(path, str(local)))
        targets = [local / name for name in names]
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        self._call(lambda: self.fs.get([f"{path}/{name}" for name in names], [str(t) for t in targets]))


def open_store(url: str, home: Path) -> Store:
    """The store of a project: a `url` without a protocol is a folder relative to the project's `home`."""
    return Store(url if "://" in url else home / url)


def cache_folder() -> Path:
    """Where this node keeps copies of what is in remote stores."""
    base = os.environ.get("ATELIER_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "atelier" / "store"


# Names


def _normal(url: str) -> tuple[str, str]:
    """(url, protocol); a local one as an absolute path."""
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in ("file", "local"):
        local = rest if separator else url
        if not local.strip() or _control(local):
            raise InputError(f"{url!r} is not a folder")
        return os.path.abspath(os.path.expanduser(local)), "file"
    if _control(url) or "::" in protocol or re.search(r"[*?\[\]#\\]", url):
        raise InputError(f"{url!r} is not a store: expected a folder or protocol://place/folder, without wildcards")
    if protocol in S3:
        if "@" in rest:
            raise InputError("credentials do not belong in a URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        if not rest.strip("/"):
            raise InputError(f"{url!r} names no bucket: expected {protocol}://bucket/folder")
    return url.rstrip("/") if rest.strip("/") else url, protocol


def _confined(rel: str) -> str:
    """`rel`, if it stays below the store and means the same on every kind of store."""
    segments = rel.split("/")
    if any(s in ("", ".", "..") for s in segments) or _control(rel) or re.search(r"[*?\[\]#\\]", rel):
        raise InputError(f"{rel!r} is not a name in a store: expected a/b/c, no '..', wildcards or control characters")
    return rel


def _control(text: str) -> bool:
    return any(ord(c) < 32 or ord(c) == 127 for c in text)


def _file(rel: str) -> str:
    if not rel:
        raise InputError("the store's own folder is not a file in it")
    return rel


# Local writes


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name next to `path`, in the same file system, for something unfinished; gone afterwards."""
    temporary = path.parent / f"{HIDDEN}{uuid.uuid4().hex[:12]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when it is complete and on the disk."""
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


def _create_local(path: Path, data: bytes) -> bool:
    """Exclusive like open("xb"), and whole too: a link appears with all of its content."""
    if path.exists():
        return False
    with _beside(path) as temporary:
        temporary.write_bytes(data)
        _sync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            return _create_unlinked(path, data)  # a file system without hard links
        _sync(path.parent)
    return True


def _create_unlinked(path: Path, data: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in FULL or error.errno == errno.EIO:
            raise
    finally:
        os.close(descriptor)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value


# Errors


def transient(error: BaseException) -> bool:
    """Whether the same call may well succeed a little later."""
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status:
        return status >= 500 or status in (408, 409, 429) or _code(error) in ("SlowDown", "RequestTimeout")
    if isinstance(error, (ConnectionError, TimeoutError)) or _is_named(error, "HTTPClientError", "ConnectionError", "ClientError"):
        return True
    return isinstance(error, OSError) and error.errno in TRANSIENT


def _is_named(error: BaseException, *names: str) -> bool:
    """Whether it is one of the client library's own connection errors, asked without importing that library."""
    return any(c.__name__ in names and c.__module__.startswith(("botocore", "aiohttp")) for c in type(error).__mro__)


def _response(error: BaseException) -> dict[str, Any]:
    """What an S3 server said, if it was one."""
    return getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}


def _code(error: BaseException) -> str:
    return str(_response(error).get("Error", {}).get("Code", ""))


def _is_taken(error: BaseException) -> bool:
    """Whether an exclusive creation lost: s3fs has two ways to say so."""
    return isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412")


def _explain(error: BaseException, store: Store) -> BaseException:
    """The error as one sentence for people; never with a credential."""
    number = getattr(error, "errno", None)
    where = store.url
    if isinstance(error, (InputError, RunError)):
        return error
    if number in FULL:
        return RunError(f"{where}: no space left; free some and run the same command again")
    if _code(error) in ("NoSuchBucket", "InvalidBucketName") or _is_named(error, "ParamValidationError"):
        return InputError(f"{where}: there is no such bucket; create it or correct the store's url")
    if isinstance(error, PermissionError) or _is_named(error, "NoCredentialsError", "PartialCredentialsError"):
        return InputError(_refused(error, store))
    if _code(error) in ("AuthorizationHeaderMalformed", "PermanentRedirect", "301") or _is_named(error, "NoRegionError"):
        return InputError(f"{where}: the bucket is in another region; set AWS_DEFAULT_REGION to it")
    if transient(error):
        return Unreachable(f"{where} does not answer ({type(error).__name__}); check the address and the network")
    if number in (errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG):
        return InputError(f"{where}: cannot write there ({os.strerror(number or 0)}: {getattr(error, 'filename', '')})")
    return RunError(f"{where}: {error}") if isinstance(error, OSError) else error


def _refused(error: BaseException, store: Store) -> str:
    if store.is_local:
        return f"{store.url}: no permission ({getattr(error, 'filename', '')}); choose another folder or change its owner"
    known = "the credentials were refused" if isinstance(error, PermissionError) else "no credentials were found"
    names = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL" if store.protocol in S3 else "the credentials"
    return f"{store.url}: {known}; check {names}"
