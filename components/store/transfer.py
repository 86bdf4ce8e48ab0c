"""Copy files to a store: in parallel, streamed, verified by checksum, and continued after an interruption."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from components.common.errors import RunError
from components.common.hashing import digest, sha256
from components.store.s3_writer import S3Writer
from components.store.store import Store
from components.store.urls import S3

THREADS = 16  # small files at a time
PART = 8 * 2**20  # bytes of a file in memory; larger files are copied one by one, in parts
CONCURRENT_PARTS = 4
MOST_PARTS = 10_000  # of an object in S3
ATTEMPTS = 3  # of a file whose copy has another checksum


@dataclass(frozen=True)
class Upload:
    """A file to copy.

    Attributes:
        path: its name in the store.
        source: a file of this machine, or the content.
        size: in bytes.
        sha256: its hash.
    """

    path: str
    source: Path | bytes
    size: int
    sha256: str

    @classmethod
    def of(cls, path: str, source: Path | bytes) -> Upload:
        """Return the upload of a file or of a content."""
        if isinstance(source, bytes):
            return cls(path, source, len(source), sha256(source))
        return cls(path, source, source.stat().st_size, digest(source, "sha256"))


def upload_all(
    store: Store, uploads: Sequence[Upload], progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Copy files to a store, except those that it has with the same contents already.

    Args:
        store: the store.
        uploads: the files.
        progress: called with the number of files that are there and their number.

    Raises:
        RunError: a copy has other contents than its source, repeatedly.
    """
    small = [upload for upload in uploads if upload.size <= PART]
    large = [upload for upload in uploads if upload.size > PART]  # which have parallel parts
    present, verified = store.sizes(), set[str]()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            if store.protocol in S3:
                new = [upload for upload in small if present.get(upload.path) != upload.size]
                put = partial(_put_small, store, S3Writer(store))
                for done, (upload, is_whole) in enumerate(zip(new, pool.map(put, new), strict=True), 1):
                    present[upload.path] = upload.size
                    if is_whole:
                        verified.add(upload.path)
                    progress(done, len(uploads))
                verified |= _listed(store, [upload for upload in small if upload.path not in verified])
            others = [upload for upload in small if upload.path not in verified]
            copied = partial(copy, store, present=present)
            for done, _ in enumerate(chain(pool.map(copied, others), map(copied, large)), 1):
                progress(len(verified) + done, len(uploads))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _listed(store: Store, uploads: Sequence[Upload]) -> set[str]:
    """Return the files that a server lists with the MD5 of their contents, by one request for a thousand.

    A server that encrypts with a key of its own lists other values than MD5; then the files are read back.
    """
    infos = store.infos() if uploads else {}
    etags = {path: str(info.get("ETag")).strip('"') for path, info in infos.items()}
    return {upload.path for upload in uploads if etags.get(upload.path) == _md5(upload.source)}


def _md5(source: Path | bytes) -> str:
    if isinstance(source, Path):
        return digest(source, "md5")
    return hashlib.md5(source, usedforsecurity=False).hexdigest()


def copy(store: Store, upload: Upload, present: dict[str, int]) -> str:
    """Copy a file unless the store has it; return its name."""
    if present.get(upload.path) == upload.size and _is_there(store, upload):
        return upload.path
    for _ in range(ATTEMPTS):
        _put(store, upload)
        if _is_there(store, upload):
            return upload.path
    raise RunError(
        f"{store.url}: the copy of {upload.path} has other contents than its source; check the store, and "
        "run the same command again"
    )


def _put_small(store: Store, writer: S3Writer, upload: Upload) -> bool:
    """Write a small file to S3; return whether the server answers with the MD5 of its contents."""
    data = upload.source if isinstance(upload.source, bytes) else upload.source.read_bytes()
    if sha256(data) != upload.sha256:  # the file has changed since: `copy` says so
        return False
    etag = writer.write(upload.path, data)
    if etag is None:
        _put(store, upload)
    return etag == _md5(data)


def _put(store: Store, upload: Upload) -> None:
    """Write a file to the store, atomically."""
    source = upload.source
    if isinstance(source, bytes):
        store.write_bytes(upload.path, source)
    elif store.is_local:
        store.upload(source, upload.path)
    else:
        store.stream(source, upload.path, **_parts(store, upload.size))


def _parts(store: Store, size: int) -> dict[str, int]:
    """Return the options that bound the memory of a copy."""
    if store.protocol not in S3:
        return {}
    return {"chunksize": max(PART, -(-size // MOST_PARTS)), "max_concurrency": CONCURRENT_PARTS}


def _is_there(store: Store, upload: Upload) -> bool:
    """Return whether the store has the file with the same contents; a small one is read in one request."""
    try:
        if upload.size <= PART and not store.is_local:
            return sha256(store.read_bytes(upload.path)) == upload.sha256
        return digest_of(store, upload.path) == upload.sha256
    except FileNotFoundError:
        return False


def digest_of(store: Store, rel: str) -> str:
    """Return the sha256 of a file in a store, read in parts; raise FileNotFoundError if there is none."""
    if store.is_local:
        return digest(Path(store.path(rel)), "sha256")
    hashed, size = hashlib.sha256(), store.size(rel)
    for start in range(0, size, PART):
        hashed.update(store.read_part(rel, start, min(start + PART, size)))
    return hashed.hexdigest()
