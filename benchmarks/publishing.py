"""How a store takes a publication: python benchmarks/publishing.py [URL|-] [FILES] [MEGABYTES] [DELAY].

Small files are copied as `atelier publish` does, and one by one with s3fs: each is written and read back, or
only written. A large file shows the memory that a copy takes. Without a URL, the store is an S3 server of its
own on loopback, reached without and with a proxy that delays each request by DELAY ms, as a distant server
does. Leaves nothing.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.common.loopback import free_port
from components.store import Store
from components.store.transfer import Upload, copy, upload_all
from tests.s3 import Server, discard, new_server

FILES, MEGABYTES, DELAY = 2000, 2048, 20


@contextmanager
def own_server() -> Iterator[Server]:
    """Yield a server of this process with a bucket."""
    server = new_server()
    os.environ |= server.environment
    try:
        server.client().create_bucket(Bucket="bench")
        yield server
    finally:
        discard(server)


@contextmanager
def delayed(server: Server, delay: float) -> Iterator[None]:
    """Let clients reach a server through a process that passes on what they send after some seconds."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=pass_on, args=(port, server.ports[0], delay), daemon=True
    )
    process.start()
    time.sleep(3)
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    try:
        yield
    finally:
        os.environ["AWS_ENDPOINT_URL"] = server.endpoint
        process.terminate()


def pass_on(port: int, to: int, delay: float) -> None:
    """Serve the port until the process ends."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        while data := await reader.read(2**16):
            asyncio.get_running_loop().call_later(delay, writer.write, data)
        asyncio.get_running_loop().call_later(delay, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pump(reader, there_writer, delay), pump(there_reader, writer, 0.0))

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


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


def cpu_seconds(server: Server | None) -> tuple[float, float]:
    """Return the seconds that this process and the server have computed."""
    spent = [psutil.Process(), *([psutil.Process(server.process.pid)] if server and server.process else [])]
    times = [process.cpu_times() for process in spent]
    own, *others = [each.user + each.system for each in times]
    return own, sum(others)


def timed(server: Server | None, name: str, work: partial[None]) -> dict[str, float]:
    """Return the seconds of some work, and those that client and server compute meanwhile."""
    start, (client, served) = time.perf_counter(), cpu_seconds(server)
    work()
    seconds, (client_after, served_after) = time.perf_counter() - start, cpu_seconds(server)
    return {
        f"{name}_s": seconds,
        f"{name}_client_cpu_s": client_after - client,
        f"{name}_server_cpu_s": served_after - served,
    }


def one_by_one(store: Store, uploads: list[Upload]) -> None:
    """Write each file and read it back."""
    for upload in uploads:
        copy(store, upload, {})


def unread(store: Store, uploads: list[Upload]) -> None:
    """Write each file."""
    for upload in uploads:
        assert isinstance(upload.source, Path)
        store.upload(upload.source, upload.path)


def measure_small(store: Store, folder: Path, count: int, server: Server | None) -> dict[str, float]:
    """Return seconds and the ratios of small files."""
    uploads = small_files(folder, count)
    store.child("warm").write_bytes("up", b"")
    measured = timed(server, "together", partial(upload_all, store.child("together"), uploads))
    measured |= timed(server, "alone", partial(one_by_one, store.child("alone"), uploads))
    measured |= timed(server, "unread", partial(unread, store.child("unread"), uploads))
    ratios = {f"times_{name}": measured[f"{name}_s"] / measured["together_s"] for name in ("alone", "unread")}
    return measured | ratios


def measure_large(store: Store, folder: Path, megabytes: int) -> dict[str, float]:
    """Return the speed of a large file, and by how much the peak of memory grows."""
    large, before, start = large_file(folder, megabytes), peak_mb(), time.perf_counter()
    upload_all(store.child("large"), [large])
    seconds = time.perf_counter() - start
    return {"large_mb_per_second": megabytes / seconds, "large_memory_mb": peak_mb() - before}


@contextmanager
def emptied(store: Store) -> Iterator[Store]:
    """Yield a folder of a store, and remove it."""
    own = store.child(f"benchmark-{uuid.uuid4().hex[:8]}")
    try:
        yield own
    finally:
        for name in ("warm", "together", "alone", "unread", "large"):
            own.delete(name)


def show(title: str, measured: dict[str, float]) -> None:
    """Print numbers."""
    print(title, json.dumps({name: round(value, 2) for name, value in measured.items()}), flush=True)


def main() -> None:
    """Measure and print."""
    url, *numbers = sys.argv[1:] or ["-"]
    count, megabytes, delay = (*map(int, numbers), *(FILES, MEGABYTES, DELAY)[len(numbers) :])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "://" in url:
            with emptied(Store(url)) as store:
                show("small", measure_small(store, folder, count, None))
                show("large", measure_large(store, folder, megabytes))
            return
        with own_server() as server:
            with emptied(Store("s3://bench/published")) as store:
                show("small", measure_small(store, folder, count, server))
                show("large", measure_large(store, folder, megabytes))
            with delayed(server, delay / 1000), emptied(Store("s3://bench/published")) as store:
                show(f"small, {delay} ms", measure_small(store, folder, count, server))


if __name__ == "__main__":
    main()
