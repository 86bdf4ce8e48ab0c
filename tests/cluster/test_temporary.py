"""The folder of Ray's sockets: the environment's if it will do, else a short one that goes away again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.cluster import temporary
from components.common.errors import InputError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kind", ["long", "missing", "file"])
def test_a_folder_that_will_not_do_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = {"long": tmp_path / ("x" * 90), "missing": Path("/missing"), "file": Path(__file__)}[kind]
    if kind == "long":
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    made = temporary.short_folder()
    assert made is not None and made.is_dir() and made.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(f"{made}{temporary.BELOW}")) <= temporary.SOCKET
    made.rmdir()


def test_the_folder_of_the_environment_is_taken_where_it_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    assert temporary.short_folder() is None
    monkeypatch.setenv("TMPDIR", "/missing")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert temporary.short_folder() is None


def test_the_folder_of_another_user_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    folder = os.path.join("/tmp", "ray")
    monkeypatch.setattr(os.path, "lexists", lambda path: path == folder)
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder)
    made = temporary.short_folder()
    assert made is not None and made.parent == Path("/tmp")
    made.rmdir()


def test_it_goes_away_with_its_process_or_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make = (
        "from components.cluster.temporary import short_folder; import os; print(short_folder(), flush=True)"
    )
    environment = {**os.environ, "TMPDIR": "/missing"}
    for end, stays in (("", False), ("; os.kill(os.getpid(), 9)", True)):
        done = subprocess.run(
            [sys.executable, "-c", make + end], env=environment, capture_output=True, text=True
        )
        assert (left := Path(done.stdout.strip())).exists() is stays
    monkeypatch.setenv("TMPDIR", "/missing")
    other = temporary.short_folder()
    assert other is not None and other.exists() and not left.exists()
    other.rmdir()


def test_no_folder_at_all_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/missing")
    monkeypatch.setattr(temporary, "usable", lambda *_: False)
    with pytest.raises(InputError, match=r"^/missing: Ray cannot make its sockets there, .*set RAY_TMPDIR"):
        temporary.short_folder()
