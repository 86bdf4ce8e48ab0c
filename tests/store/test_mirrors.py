"""The cache of remote stores has a limit, and what a process uses stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.common.atomic import HIDDEN
from components.common.errors import InputError
from components.store import Store, cache_folder, mirrors

HOLD = (
    "import sys; from pathlib import Path; from components.store import mirrors; "
    "mirrors.hold(Path(sys.argv[1])); print(1, flush=True); input()"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of three mirrors of 1 kB, "0" used first, and a limit of 2 kB."""
    monkeypatch.setenv("ATELIER_CACHE_GB", "2e-6")
    cache = tmp_path / "atelier" / "store"
    (cache.parent / "in-use").mkdir(parents=True)
    for number in range(3):
        folder = cache / str(number) / "model"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(1000))
        lock = cache.parent / "in-use" / str(number)
        lock.touch()
        os.utime(lock, (number, number))
    return cache


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_the_least_recently_used_goes(cache: Path) -> None:
    mirrors.trim(cache)
    assert left(cache) == ["1", "2"]
    mirrors.trim(cache)
    assert left(cache) == ["1", "2"]


def test_sizes_are_those_noted_when_the_mirrors_were_made(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, size in enumerate((500, 1000, 500)):
        (cache / str(number) / ".model.sizes").write_text(f'{{"weights": {size}}}')
    monkeypatch.setattr(mirrors, "size", None)
    mirrors.trim(cache)
    assert left(cache) == ["0", "1", "2"]
    (cache / "2" / ".model.sizes").write_text('{"weights": 501}')
    mirrors.trim(cache)
    assert left(cache) == ["1", "2"]


def test_what_another_process_uses_stays_as_long_as_it_lives(cache: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(cache / "0")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        os.utime(cache.parent / "in-use" / "0", (0, 0))
        mirrors.trim(cache)
        assert left(cache) == ["0", "2"]
        process.kill()
    (cache / "2" / "more").write_bytes(bytes(1000))
    mirrors.trim(cache)
    assert left(cache) == ["2"]


def test_what_this_process_uses_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "_held", {})
    mirrors.hold(cache / "0")
    mirrors.trim(cache)
    assert left(cache) == ["0", "2"]
    for descriptor in mirrors._held.values():
        os.close(descriptor)


def test_what_a_killed_process_was_copying_goes(cache: Path) -> None:
    (cache / "2" / f"{HIDDEN}half").mkdir()
    (cache / "2" / f"{HIDDEN}half" / "weights").write_bytes(bytes(500))
    mirrors.trim(cache)
    assert [path.name for path in (cache / "2").iterdir()] == ["model"]


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_no_size_is_one_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE_GB", text)
    with pytest.raises(InputError, match="ATELIER_CACHE_GB=.*number of gigabytes"):
        mirrors.limit()


def test_mirrors_of_a_store_are_held_and_trimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path))
    monkeypatch.setenv("ATELIER_CACHE_GB", "0")
    monkeypatch.setattr(mirrors, "_held", {})
    store = Store("memory://mirrored")
    store.write_bytes("a/x", b"1")
    store.write_bytes("b/x", b"2")
    first = store.local_copy("a")
    for descriptor in mirrors._held.values():  # as if the process had ended
        os.close(descriptor)
    second = store.local_copy("b")
    assert not first.exists() and (second / "x").read_bytes() == b"2"
    assert left(cache_folder()) == [second.parent.name]
