"""How a store takes a publication: python benchmarks/publishing.py [URL] [FILES] [MEGABYTES]. Leaves nothing.

Small files are copied as `atelier publish` does, and one by one with the same checks; a large file shows the
memory that a copy takes. Without a URL, the store is an S3 server of its own on loopback (SeaweedFS).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.store import Store
from components.store.transfer import Upload, copy, upload_all
from tests.s3 import discard, new_server

FILES, MEGABYTES = 2000, 2048


@contextmanager
def place(url: str | None) -> Iterator[Store]:
    """Yield the store that is named, else a bucket on a server of this process."""
    if url:
        yield Store(url)
        return
    server = new_server()
    os.environ |= server.environment
    try:
        server.client().create_bucket(Bucket="bench")
        yield Store("s3://bench/published")
    finally:
        discard(server)


def small_files(folder: Path, count: int) -> list[Upload]:
    """Return uploads of files of 1 to 8 KB."""
    for i in range(count):
        (folder / f"{i}.bin").write_bytes(os.urandom(1024 + 7 * 1024 * (i % 8) // 8))
    return [Upload.of(f"{i}.bin", folder / f"{i}.bin") for i in range(count)]


def large_file(folder: Path, megabytes: int) -> Upload:
    """Return the upload of one file."""
    block, path = os.urandom(2**20), folder / "large.bin"
    with path.open("wb") as file:
        for i in range(megabytes):
            file.write(block[i % 1000 :] + block[: i % 1000])
    return Upload.of("large.bin", path)


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(store: Store, folder: Path, count: int, megabytes: int) -> dict[str, float]:
    """Return seconds, the ratio and the growth of the peak of memory."""
    uploads = small_files(folder, count)
    store.child("warm").write_bytes("up", b"")
    start = time.perf_counter()
    upload_all(store.child("together"), uploads)
    together = time.perf_counter() - start
    start, alone = time.perf_counter(), store.child("alone")
    for upload in uploads:
        copy(alone, upload, {})
    one_by_one, before = time.perf_counter() - start, peak_mb()
    large = large_file(folder, megabytes)
    start = time.perf_counter()
    upload_all(store.child("large"), [large])
    return {
        "together_s": together,
        "one_by_one_s": one_by_one,
        "times_as_fast": one_by_one / together,
        "large_mb_per_second": megabytes / (time.perf_counter() - start),
        "large_memory_mb": peak_mb() - before,
    }


def main() -> None:
    """Measure and print."""
    url, count, megabytes = (*sys.argv[1:], *(None, FILES, MEGABYTES)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder, place(url if url and "://" in url else None) as store:
        own = store.child(f"benchmark-{uuid.uuid4().hex[:8]}")
        try:
            measured = measure(own, Path(folder), int(count or FILES), int(megabytes or MEGABYTES))
            print(json.dumps({name: round(value, 2) for name, value in measured.items()}, indent=1))
        finally:
            own.delete("together")
            own.delete("alone")
            own.delete("large")


if __name__ == "__main__":
    main()
