"""Keys say what a result depends on; a result is whole or not there; work is shared."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.common.errors import RunError
from components.evaluation.parts import read_part
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import Unreachable


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


# Running


SPEC = Spec("toy", {"x": 1}, {}, data="d")


def body(attempt: Store, number: int) -> dict[str, Any]:
    attempt.write_text("out.txt", f"attempt {number}")
    return {"answer": 42}


def test_done_once_then_cached(store: Store) -> None:
    first = cache.run(store, SPEC, body, run_id="a")
    again = cache.run(store, SPEC, lambda *_: pytest.fail("ran again"), run_id="b")
    assert (first.state, again.state, again.run_id) == ("ran", "cached", "a")
    assert cache.read(store, again)["answer"] == 42


@pytest.mark.parametrize("harm", ["change", "remove", "result"])
def test_a_damaged_result_is_made_again(store: Store, harm: str) -> None:
    done = cache.run(store, SPEC, body, run_id="a")
    if harm == "change":
        store.write_text(f"{done.uri}/out.txt", "attempt X")
    elif harm == "remove":
        store.delete(f"{done.uri}/out.txt")
    else:
        store.write_text(f"{done.uri}/result.json", "{}")
    assert cache.finished(store, SPEC) is None
    assert cache.run(store, SPEC, body, run_id="b").state == "ran"


def test_a_result_that_cannot_be_read_just_now_is_not_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.run(store, SPEC, body, run_id="a")
    monkeypatch.setattr(Store, "read_bytes", Mock(side_effect=Unreachable("does not answer")))
    with pytest.raises(Unreachable):
        cache.run(store, SPEC, lambda *_: pytest.fail("ran again"), run_id="b")
    with pytest.raises(Unreachable):
        cache.latest(store, SPEC)
    with pytest.raises(Unreachable):
        read_part(store, "parts", 0)


def test_failure_leaves_no_success_and_the_next_run_goes_on_with_the_attempt(store: Store) -> None:
    def fails(attempt: Store, number: int) -> dict[str, Any]:
        attempt.write_text("half.txt", "half")
        raise RunError("no")

    with pytest.raises(RunError):
        cache.run(store, SPEC, fails, run_id="a")
    assert cache.finished(store, SPEC) is None

    def goes_on(attempt: Store, number: int) -> dict[str, Any]:
        assert number == 1 and attempt.read_text("half.txt") == "half"
        return {}

    assert cache.run(store, SPEC, goes_on, run_id="b").attempt == 1


def test_force_opens_a_new_attempt_and_keeps_the_old(store: Store) -> None:
    cache.run(store, SPEC, body, run_id="a")
    forced = cache.run(store, SPEC, body, run_id="b", force=True)
    assert (forced.state, forced.attempt) == ("ran", 2)
    assert store.read_text(f"{SPEC.uri}/attempts/1/out.txt") == "attempt 1"
    assert cache.run(store, SPEC, body, run_id="c").attempt == 2


def test_two_at_once_share_the_work(store: Store) -> None:
    ran: list[int] = []

    def slow(attempt: Store, number: int) -> dict[str, Any]:
        ran.append(number)
        time.sleep(1)
        return {}

    results: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(cache.run(store, SPEC, slow, run_id=str(i)).state))
        for i in range(3)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert ran == [1] and sorted(results) == ["cached", "cached", "ran"]


def test_what_lies_elsewhere_must_still_be_there(store: Store) -> None:
    store.write_text("pages/index.html", "x")
    cache.run(store, SPEC, lambda *_: {"elsewhere": ["pages/index.html"]}, run_id="a")
    assert cache.finished(store, SPEC)
    store.delete("pages/index.html")
    assert cache.finished(store, SPEC) is None
