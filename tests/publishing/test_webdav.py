"""A second protocol: a run is published to a WebDAV server on loopback, verified and sampled from there."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.publishing.publish import MANIFEST, publish
from components.publishing.verify import verify
from components.records.run import RunManifest
from components.registry.models import local_model
from components.store import Store
from tests.publishing.exported import RUN, published_run
from tests.s3 import NAMES, Server, die_with_parent, free_ports


@pytest.fixture
def webdav(s3_server: Server, tmp_path: Path) -> Iterator[str]:
    """The address of SeaweedFS's WebDAV server, beside the one for S3."""
    pytest.importorskip("webdav4", reason="the client of WebDAV")
    (port,) = free_ports(1)
    filer = NAMES.index("filer")
    place = f"-filer=127.0.0.1:{s3_server.ports[filer]}.{s3_server.ports[len(NAMES) + filer]}"
    command = [s3_server.program, "webdav", place, f"-port={port}", f"-cacheDir={tmp_path}"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and server.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.s3
def test_a_run_is_published_by_webdav(
    webdav: str, tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "webdav", {"base_url": webdav})  # as FSSPEC_WEBDAV_BASE_URL does
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    store, place = published_run(tmp_path, digits, Store("webdav://public"))
    assert [problem for result in verify(place) for problem in result.problems] == []
    assert (local_model(place.url, "cgan") / "model.safetensors").stat().st_size
    place.delete("models/cgan/README.md")
    place.write_bytes("models/cgan/extra.bin", b"x")
    problems = verify(place.child("models/cgan"))[0].problems
    assert problems == ["README.md is missing", "extra.bin was added"]
    run = RunManifest.model_validate(store.read_json(f"runs/{RUN}/run.json"))
    publish(store, run, place, run.models, f"runs/{RUN}/report/index.html")
    assert {file["path"] for file in place.read_json(MANIFEST)["files"]} == set(place.find()) - {MANIFEST}
