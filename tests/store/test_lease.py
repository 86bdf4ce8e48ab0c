"""At most one holder: threads, processes, machines that die."""

import signal
import threading
import time

import pytest

from components.common.errors import InputError, RunError
from components.common.interruption import interrupted
from components.store import Store
from components.store import lease as module
from components.store.errors import Unreachable
from components.store.lease import lease

KINDS = ["local", pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture(params=KINDS)
def shared(request) -> Store:
    if request.param == "local":
        return request.getfixturevalue("local")
    return Store(f"s3://{request.getfixturevalue('bucket')}")


def beats() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lease ")]


def test_numbers_grow(store):
    for expected in (1, 2, 3):
        with lease(store, "a/b", poll=0.05) as held:
            assert held.number == expected
            held.check()
    assert store.find("leases/a/b")[-1] == "3.json"
    with lease(store, "other", poll=0.05) as held:
        assert held.number == 1


def test_old_numbers_are_tidied_away(local):
    for _ in range(6):
        with lease(local, "x"):
            pass
    assert local.list("leases/x") == ["5.json", "6.json"]


def test_two_threads_take_turns(store):
    inside, most, waited = [], [], []

    def work():
        with lease(store, "x", poll=0.02, on_wait=lambda: waited.append(1)):
            inside.append(1)
            most.append(len(inside))
            until = time.monotonic() + 20
            while not waited and time.monotonic() < until:  # the first stays until another has come
                time.sleep(0.01)
            time.sleep(0.1)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert most == [1, 1, 1]
    assert 1 <= len(waited) <= 2  # told once each


def test_processes_take_turns(local, racers):
    racers.start(4, "count", local.url, 5)
    racers.results()
    assert local.read_json("count.json") == 20


def test_takeover_after_a_killed_holder(shared, racers):
    holder = racers.start(1, "hold", shared.url, "x")[0]
    holder.stdout.readline()
    start, waited = time.monotonic(), []
    threading.Timer(1.0, holder.kill).start()
    with lease(shared, "x", poll=0.1, expires=1.5, on_wait=lambda: waited.append(1)) as held:
        assert held.number == 2
        assert time.monotonic() - start > 2.0  # not while it lived: its heartbeat was seen
    assert len(waited) == 1


def test_a_stalled_holder_learns_that_it_lost(local, racers):
    holder = racers.start(1, "hold", local.url, "x")[0]
    holder.stdout.readline()
    holder.send_signal(signal.SIGSTOP)
    with lease(local, "x", poll=0.1, expires=1.0) as held:
        holder.send_signal(signal.SIGCONT)
        time.sleep(0.8)  # it beats again, on its old number
        held.check()
    with lease(local, "x", poll=0.1, expires=30) as held:  # and that confuses nobody
        assert held.number == 3


def test_check_tells_a_loss(shared):
    with lease(shared, "x", poll=0.05, expires=0.6) as first:
        first.check()
        first._ended.set()  # its heart stops
        with lease(shared, "x", poll=0.1, expires=0.6) as second:
            second.check()
            with pytest.raises(RunError, match="lost the lease 'x'"):
                first.check()


def test_a_living_holder_keeps_it(local):
    with lease(local, "x", expires=0.6) as held:
        time.sleep(1.5)
        held.check()
        assert local.read_json("leases/x/1.json")["beat"] >= 5


def test_a_holder_that_beats_more_slowly_than_others_wait_keeps_it(local):
    """Each process has its own setting; the longer of the two counts."""
    waited: list[float] = []

    def other() -> None:
        began = time.monotonic()
        with lease(local, "x", poll=0.05, expires=0.3):
            waited.append(time.monotonic() - began)

    with lease(local, "x", expires=6) as held:  # one beat a second
        second = threading.Thread(target=other)
        second.start()
        time.sleep(1.5)
        held.check()
        assert not waited
    second.join()
    assert waited[0] >= 1.5


def test_a_wait_ends_with_the_process(local, monkeypatch):
    with lease(local, "x"):
        monkeypatch.setattr(interrupted, "is_set", lambda: True)
        with pytest.raises(RunError, match="^interrupted$"), lease(local, "x"):
            pass
    with lease(local, "x") as held:
        assert held.number == 2, "a free one is taken"


@pytest.mark.parametrize("text", ["half a minute", "0", "-3", "nan", "inf"])
def test_an_impossible_setting_is_one_sentence(local, monkeypatch, text):
    monkeypatch.setenv("ATELIER_LEASE_SECONDS", text)
    with (
        pytest.raises(InputError, match=f"^ATELIER_LEASE_SECONDS={text}: set it to a number"),
        lease(local, "x"),
    ):
        raise AssertionError("it was acquired")


def test_the_heart_stops_at_the_end(local):
    with pytest.raises(ValueError), lease(local, "x", expires=0.3):
        assert beats()
        raise ValueError
    assert not beats()
    state = local.read_json("leases/x/1.json")
    assert state["released"]
    time.sleep(0.2)
    assert local.read_json("leases/x/1.json") == state


def test_a_beat_that_fails_is_tried_again(local, monkeypatch):
    with lease(local, "x", expires=0.6) as held:
        write, failures = held._write, [1, 1]

        def flaky():
            if failures:
                failures.pop()
                raise Unreachable("down")
            write()

        monkeypatch.setattr(held, "_write", flaky)
        time.sleep(1.0)
        held.check()
        assert not failures and beats()


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def expired_after(heartbeat, clock, seconds, number, beat):
    clock[0] += seconds
    return heartbeat.expired(number, {"beat": beat})


def test_expiry_counts_observed_time_only(clock):
    heartbeat = module._Heartbeat(expires=10)
    assert not expired_after(heartbeat, clock, 0, 1, 7)
    assert not any(expired_after(heartbeat, clock, 3, 1, 7) for _ in range(3))
    assert expired_after(heartbeat, clock, 3, 1, 7)
    assert not expired_after(heartbeat, clock, 1, 1, 8)  # it beats
    assert not expired_after(heartbeat, clock, 1, 2, 8)  # another holder
    assert not expired_after(heartbeat, clock, 60, 2, 8)  # we slept, or the store was down: start again
    assert not any(expired_after(heartbeat, clock, 3, 2, 8) for _ in range(3))
    assert expired_after(heartbeat, clock, 3, 2, 8)


def test_an_unreachable_store_raises_at_once_but_does_not_end_a_wait(local, monkeypatch):
    folder = local.child("leases", "x")

    def down(*_):
        raise Unreachable("down")

    heartbeat = module._Heartbeat(10)
    monkeypatch.setattr(module.numbered, "highest", down)
    with pytest.raises(Unreachable):
        module._latest(folder, heartbeat)
    heartbeat.expired(1, {"beat": 1})
    assert module._latest(folder, heartbeat)[1] is None


def test_an_old_number_that_was_tidied_away_wins_nothing(local):
    folder = local.child("leases", "x")
    folder.write_json("7.json", {"released": False, "beat": 0})
    assert local.child("leases", "x")._link is local._link  # one connection for all
    assert module._create(folder, "x", 3, 10, False) is None
    assert not beats()
