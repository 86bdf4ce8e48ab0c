"""Objects are written by obstore as s3fs writes them, and by s3fs where obstore does not suit."""

from __future__ import annotations

import os
from hashlib import md5
from pathlib import Path

import fsspec
import pytest

from components.common.errors import RunError
from components.store import Store, s3_writer
from components.store.s3_writer import S3Writer
from tests.s3 import Server

NAMES = [
    "page/index.html",
    "a b",
    "ü/é",
    "a%20b",
    "a~b'c",
    "a+b&c=d;e,f:g",
    "{a}|<b>^`",
    '"',
    "$a@(b)!",
    "..a",
]


def connected(bucket: str, **options: object) -> Store:
    """A store that has answered."""
    store = Store(f"s3://{bucket}/p", options)
    store.list()
    return store


@pytest.fixture
def keys_in_a_file(bucket: str, s3_env: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials only in the usual file of profiles."""
    lines = f"[me]\naws_access_key_id = {s3_env.key}\naws_secret_access_key = {s3_env.secret}\n"
    (tmp_path / "credentials").write_text(lines)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "me")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


@pytest.mark.s3
def test_objects_have_the_names_contents_and_types_of_s3fs(
    bucket: str, keys_in_a_file: None, s3_env: Server, tmp_path: Path
) -> None:
    store, local = connected(bucket), tmp_path / "page.html"
    writer = S3Writer(store)
    for name in NAMES:
        assert writer.write(name, name.encode()) == md5(name.encode()).hexdigest()
    assert store.find() == sorted(NAMES) and store.read_text("a%20b") == "a%20b"
    local.write_bytes(b"")
    store.stream(local, "page/by-s3fs.html")
    kinds = [store.fs.info(store.path(f"page/{name}.html"))["ContentType"] for name in ("index", "by-s3fs")]
    assert kinds == ["text/html"] * 2


class Unreachable:
    """A client without a server."""

    def put(self, *_: object, **__: object) -> None:
        raise ConnectionError


def test_after_a_failure_the_store_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_writer, "_client", lambda store: Unreachable())
    writer = S3Writer(Store("memory://x"))
    assert writer.write("a", b"1") is None
    monkeypatch.setattr(Unreachable, "put", lambda *_, **__: {"e_tag": '"1"'})
    assert writer.write("a", b"1") is None


@pytest.mark.s3
@pytest.mark.parametrize("where", ["options", "configuration of fsspec", "profile", "fork"])
def test_a_store_with_settings_of_its_own_writes_itself(
    where: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, object] = {"requester_pays": True} if where == "options" else {}
    if where == "configuration of fsspec":
        monkeypatch.setitem(fsspec.config.conf, "s3", {"requester_pays": True})
    if where == "profile":
        (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    if where == "fork":
        monkeypatch.setattr(s3_writer, "PROCESS", os.getpid() + 1)
    assert S3Writer(connected(bucket, **options)).write("a", b"1") is None


def test_a_lost_lease_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(rel: str) -> None:
        raise RunError("lost")

    store = Store("memory://x")
    monkeypatch.setattr(store, "writable", lost)
    with pytest.raises(RunError, match="lost"):
        S3Writer(store).write("a", b"1")
