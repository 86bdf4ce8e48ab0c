"""Keys say what a result depends on; a result is whole or not there; work is shared."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.common import atomic
from components.common.errors import RunError
from components.evaluation.parts import read_part
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import LostLease, Unreachable
from components.store.lease import Lease


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


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_jump_of_the_clock_changes_no_duration(
    store: Store, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    now, jump = time.time, 0

    def jumping(attempt: Store, number: int) -> dict[str, Any]:
        nonlocal jump
        jump = hours * 3600
        return body(attempt, number)

    monkeypatch.setattr(time, "time", lambda: now() + jump)
    done = cache.run(store, SPEC, jumping, run_id="a")
    assert 0 <= done.seconds < 3600 and 0 <= done.work_seconds < 3600
    assert cache.run(store, SPEC, body, run_id="b").state == "cached"


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


def test_a_holder_that_was_cut_off_does_not_spoil_the_result_of_who_took_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease expired, but it lives: it writes nothing more, and the other resumed from a copy."""
    began, goes_on = threading.Event(), threading.Event()
    refused = []

    def cut_off(attempt: Store, number: int) -> dict[str, Any]:
        attempt.write_text("metrics/part-1.jsonl", "first")
        attempt.write_text("ray/scratch", "of no use to others")
        began.set()
        assert goes_on.wait(60)
        elsewhere = pickle.loads(pickle.dumps(store.fenced(attempt.fence)))  # as in a worker
        for write in (
            lambda: attempt.write_text("metrics/part-1.jsonl", "late"),
            lambda: attempt.child("metrics").create("late", b""),
            lambda: attempt.delete("metrics"),
            lambda: elsewhere.upload(Path(__file__), "late"),
        ):
            with pytest.raises(LostLease):
                write()
            refused.append(write)
        return {}

    def takes_over(attempt: Store, number: int) -> dict[str, Any]:
        assert attempt.read_text("metrics/part-1.jsonl") == "first" and not attempt.exists("ray/scratch")
        attempt.write_text("metrics/part-2.jsonl", "second")
        return {}

    monkeypatch.setenv("ATELIER_LEASE_SECONDS", "1")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.run, store, SPEC, cut_off, run_id="a")
        assert began.wait(60)
        with monkeypatch.context() as away:
            away.setattr(Lease, "_write", lambda lease: None)  # its heartbeat does not reach the store
            done = cache.run(store, SPEC, takes_over, run_id="b")
        goes_on.set()
        with pytest.raises(LostLease, match="lost the lease"):
            first.result()
    assert len(refused) == 4 and store.read_text(f"{SPEC.uri}/attempts/1/metrics/part-1.jsonl") == "first"
    assert done.attempt == 2 and cache.run(store, SPEC, takes_over, run_id="c").state == "cached"


def test_an_attempt_whose_copy_is_incomplete_is_not_resumed(store: Store) -> None:
    attempts = store.child(SPEC.uri, "attempts")
    attempts.write_text("1/step", "6")
    attempts.write_text("2/step", "part of a copy")

    def resumes(attempt: Store, number: int) -> dict[str, Any]:
        return {"resumed": [number, attempt.read_text("step")]}

    assert cache.read(store, cache.run(store, SPEC, resumes, run_id="a"))["resumed"] == [1, "6"]


def test_a_copy_of_a_copy_that_was_interrupted_is_not_resumed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second attempt says that it is complete; a part of a copy of it must not."""
    attempts = store.child(SPEC.uri, "attempts")
    attempts.write_text("1/step", "6")
    attempts.write_text(f"2/{cache.BEGUN}", '{"resumes": 1}')
    attempts.write_text("2/step", "12")

    def killed(store: Store, rel: str, data: bytes, write: Any = Store.write_bytes) -> None:
        write(store, rel, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write_bytes", killed)  # after the first file
    with pytest.raises(KeyboardInterrupt):
        cache._copy(attempts.child("2"), attempts.child("3"))
    monkeypatch.undo()
    assert cache._attempt(store.child(SPEC.uri), force=False, taken_over=False) == 2


def test_force_opens_a_new_attempt_and_keeps_the_old(store: Store) -> None:
    cache.run(store, SPEC, body, run_id="a")
    forced = cache.run(store, SPEC, body, run_id="b", force=True)
    assert (forced.state, forced.attempt) == ("ran", 2)
    assert store.read_text(f"{SPEC.uri}/attempts/1/out.txt") == "attempt 1"
    assert cache.run(store, SPEC, body, run_id="c").attempt == 2


def test_a_forced_attempt_that_was_interrupted_goes_on_with_the_same_command(store: Store) -> None:
    def interrupted(attempt: Store, number: int) -> dict[str, Any]:
        attempt.write_text("half.txt", str(number))
        raise KeyboardInterrupt

    cache.run(store, SPEC, body, run_id="a")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            cache.run(store, SPEC, interrupted, run_id="b", force=True)
    forced = cache.run(store, SPEC, body, run_id="c", force=True)
    assert forced.attempt == 2 and store.exists(f"{SPEC.uri}/attempts/2/half.txt")
    assert cache.run(store, SPEC, body, run_id="d", force=True).attempt == 3


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


@pytest.mark.parametrize("keys", [10, 100])
def test_finding_the_newest_result_costs_the_same_however_many_there_are(
    store: Store, calls_of: Callable[[Store], Mock], keys: int
) -> None:
    for number in range(keys):
        cache.run(store, replace(SPEC, settings={"number": number}), lambda *_: {}, run_id="a")
    calls = calls_of(store)
    newest = cache.latest(store, SPEC)
    assert newest is not None and newest["settings"] == {"number": keys - 1}
    assert calls.call_count == 1
    assert cache.latest(store, replace(SPEC, family="another")) is None


def test_a_smoke_run_is_no_earlier_result_of_others(store: Store) -> None:
    cache.run(store, SPEC, lambda *_: {}, run_id="a", smoke=True)
    assert cache.latest(store, SPEC) is None
    assert cache.latest(store, SPEC, smoke=True) == SPEC.canonical()


KILLED = """
import os, signal, sys
from components.common import atomic
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store

def body(attempt, number):
    atomic._sync = atomic.sync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    attempt.write_bytes("checkpoints/step-0000100.pt", bytes(1000))

cache.run(Store(sys.argv[1]), Spec("train", {}, {}), body, run_id="a")
"""


def test_a_killed_run_leaves_nothing_unfinished_once_the_next_one_has_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_LEASE_SECONDS", "1")
    root = Path(store.path())
    assert subprocess.run([sys.executable, "-c", KILLED, str(root)]).returncode == -signal.SIGKILL
    assert atomic.unfinished(root)

    def again(attempt: Store, number: int) -> dict[str, Any]:
        assert not atomic.unfinished(root)
        Path(attempt.path(), f"{atomic.HIDDEN}of-a-worker").touch()
        return {}

    assert cache.run(store, Spec("train", {}, {}), again, run_id="b").state == "ran"
    assert not atomic.unfinished(root)
