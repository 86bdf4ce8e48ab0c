"""A real S3 server for the tests: SeaweedFS, from a wheel, on free loopback ports, with a random key pair."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("s3", "master", "volume", "filer", "admin")  # each has an HTTP and a gRPC port


@dataclass
class Server:
    """One SeaweedFS that can be stopped, killed and started again on the same ports and data."""

    folder: Path
    program: str
    key: str = field(default_factory=lambda: f"K{secrets.token_hex(8)}")
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen | None = None
    ports: list[int] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes boto3, s3fs, dvc, pyarrow and Ray use this server."""
        empty = self.folder / "aws-config"
        empty.touch()
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(empty),
            "AWS_SHARED_CREDENTIALS_FILE": str(empty),
        }

    def start(self) -> None:
        """Start and wait until it serves. In the main thread: the server dies with the thread it is from."""
        keys = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}
        for _ in range(3):  # somebody may take a free port before the server does
            ports = self.ports or free_ports(2 * len(NAMES))
            self.process = subprocess.Popen(
                self._command(ports),
                env={**os.environ, **keys, "GOMEMLIMIT": "256MiB"},
                stdout=(self.folder / "log").open("ab"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            if self._wait(ports):
                self.ports = ports
                return
            self.kill()
        raise RuntimeError(
            "SeaweedFS did not start:\n" + (self.folder / "log").read_text(errors="replace")[-2000:]
        )

    def stop(self) -> None:
        """An ordinary stop."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def client(self):
        """A boto3 client of this server."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 5}),
        )

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys, by a listing without delimiter: the one that shows no prefixes of deleted objects."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _command(self, ports: list[int]) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        http, grpc = ports[: len(NAMES)], ports[len(NAMES) :]
        flags = [f"-{name}.port={port}" for name, port in zip(NAMES, http, strict=True)]
        flags += [f"-{name}.port.grpc={port}" for name, port in zip(NAMES, grpc, strict=True)]
        flags += [f"-{name}.localSocket={self.folder / name}.sock" for name in ("s3", "filer")]
        return [self.program, "-logtostderr=true", "mini", f"-dir={data}", *FLAGS, *flags]

    def _wait(self, ports: list[int]) -> bool:
        """Ready when the S3 port answers and the master knows a volume server: before, a write may hang."""
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process is not None and self.process.poll() is None:
            if _get(ports[0]) is not None and b"DataNodes" in (_get(ports[1], "/dir/status") or b""):
                return True
            time.sleep(0.1)
        return False

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


FLAGS = [
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-admin.ui=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",  # or a write to a missing bucket makes it
    "-s3.allowDeleteBucketNotEmpty=false",  # or deleting a full bucket deletes everything
    "-master.volumeSizeLimitMB=64",
    "-volume.max=2000",  # or writes fail after 56 buckets
]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _get(port: int, path: str = "/") -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()  # "access denied" is an answer too
    except OSError:
        return None


def die_with_parent() -> None:
    """Let the system kill this process when the thread that has started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def new_server() -> Server:
    program = shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if program is None:
        message = "no S3 server: `make setup-dev` installs SeaweedFS on Linux x86-64"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server = Server(
        Path(tempfile.mkdtemp(prefix="s3-")), program
    )  # pytest's own path is too long for a socket
    server.start()
    return server


def discard(server: Server) -> None:
    server.kill()
    shutil.rmtree(server.folder, ignore_errors=True)
    for port in server.ports[len(NAMES) :]:  # left behind by a server that was killed
        for name in NAMES:
            Path(tempfile.gettempdir(), f"seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)


def _use(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()


def _new_bucket(server: Server) -> str:
    name = f"b{secrets.token_hex(6)}"
    server.client().create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def s3_server() -> Iterator[Server]:
    """The server that the tests of a file share; with many buckets it is at work even when nobody asks."""
    server = new_server()
    yield server
    discard(server)


@pytest.fixture
def s3_env(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The shared server, with an environment in which every client uses it and nothing else."""
    _use(s3_server, monkeypatch)
    return s3_server


@pytest.fixture
def bucket(s3_env: Server) -> str:
    """A fresh bucket's name."""
    return _new_bucket(s3_env)


@pytest.fixture
def crashable_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, str]]:
    """A server of the test's own, to stop, kill and start again, and a bucket in it."""
    server = new_server()
    _use(server, monkeypatch)
    yield server, _new_bucket(server)
    discard(server)
