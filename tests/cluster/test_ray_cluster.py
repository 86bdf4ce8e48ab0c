"""What went wrong under Ray's wrapping, and how runs in this process are stopped; all without a cluster."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import sys
import threading
import time
from subprocess import Popen
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import psutil
import pytest

from components.cluster import ray_cluster, ray_private
from components.common.errors import InputError, RunError
from components.common.loopback import free_port
from components.common.progress import watched_by
from tests import conftest


class Wrapped(Exception):
    """An error around another one, as Ray has them."""

    def __init__(self, **inner: Any) -> None:
        super().__init__("wrapped")
        vars(self).update(inner)


def test_our_own_errors_come_out_of_any_wrapping() -> None:
    own = InputError("one clear sentence")
    assert ray_cluster.cause_of(own) is own
    assert ray_cluster.cause_of(Wrapped(cause=Wrapped(worker_failures={3: Wrapped(cause=own)}))) is own


def test_other_errors_are_one_sentence_with_what_to_do() -> None:
    error = ray_cluster.cause_of(Wrapped(cause=KeyError("lines of a trace\nlast line")))
    assert isinstance(error, RunError) and str(error).startswith("KeyError: ")
    assert "run the same command" in str(error) and "\n" not in str(error)
    endless: Any = Wrapped()
    endless.cause = endless
    assert isinstance(ray_cluster.cause_of(endless), RunError)


def test_a_stopped_process_reports_nothing_more_and_joins_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "interrupted", threading.Event())
    ray_cluster.raise_if_interrupted(1, {}, None)
    ray_cluster.interrupted.set()
    with pytest.raises(RunError, match="interrupted"):
        ray_cluster.raise_if_interrupted(1, {}, None)
    with pytest.raises(RunError, match="interrupted"):
        ray_cluster.connect()


def test_a_wait_that_never_ends_does_not_keep_a_process_that_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_cluster, "POLL", 0.01)
    monkeypatch.setattr(ray_cluster, "PATIENCE", 0.01)
    monkeypatch.setattr(ray_cluster, "interrupted", threading.Event())
    assert ray_cluster.unless_interrupted(lambda: 3) == 3
    with pytest.raises(InputError, match="wrong"):
        ray_cluster.unless_interrupted(Mock(side_effect=InputError("wrong")))
    begun, never = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        never.wait(60)

    threading.Thread(target=lambda: begun.wait(60) and ray_cluster.interrupted.set()).start()
    with pytest.raises(RunError, match="interrupted"):
        ray_cluster.unless_interrupted(wait)
    never.set()


def test_jobs_are_functions_or_their_names() -> None:
    assert ray_cluster._run(divmod, 7, 2) == (3, 1)
    assert ray_cluster._run("components.common.chunks:ranges", 5, 3) == [(0, 3), (3, 2)]


def test_what_the_cluster_could_never_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "ray", SimpleNamespace(cluster_resources=lambda: {"CPU": 4.0})
    )
    monkeypatch.setattr(ray_private, "most_resources", dict)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray_cluster.check_resources(2, 2, gpu=False)
    with pytest.raises(InputError, match="need 6 CPUs; the cluster has 4.*larger one"):
        ray_cluster.check_resources(3, 2, gpu=False)
    with pytest.raises(InputError, match="need 1 GPUs; the cluster has 0"):
        ray_cluster.check_resources(1, 1, gpu=True)
    monkeypatch.setattr(ray_private, "most_resources", lambda: {"CPU": 64.0, "GPU": 8.0})
    ray_cluster.check_resources(8, 4, gpu=True)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(InputError, match="need 9 GPUs; the cluster has 8.*add nodes"):
        ray_cluster.check_resources(9, 4, gpu=True)


def test_an_address_where_no_cluster_answers_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, a server that says nothing, one of another kind; and one that begins as a cluster does."""
    monkeypatch.setattr(ray_cluster, "ADDRESS_SECONDS", 0.2)
    answers = {
        "silent": b"",
        "pages": b"HTTP/1.1 400 Bad Request\r\n",
        "Ray": bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    }
    for kind, answer in answers.items():
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
            thread = threading.Thread(target=lambda a=answer, s=server: reply(s, a))
            thread.start()
            if kind == "Ray":
                ray_cluster.check_address()
            else:
                with pytest.raises(InputError, match=r"127.0.0.1:\d+: no Ray cluster .*; start it"):
                    ray_cluster.check_address()
            thread.join()
    for address in (f"127.0.0.1:{free_port()}", "http://127.0.0.1:1", "nowhere.invalid:6379", "a:b"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(InputError, match=f"{address}: no Ray cluster"):
            ray_cluster.check_address()


def reply(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(answer) if answer else connection.recv(1)


@pytest.mark.parametrize("address", [None, "", "auto", "local"])
def test_an_address_without_a_place_is_left_to_ray(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    ray_cluster.check_address()


class Reference:
    """A job's result that Ray holds."""

    def __init__(self, value: Any):
        self.value = value


def get(reference: Reference) -> Any:
    """As ray.get does."""
    if isinstance(reference.value, Exception):
        raise reference.value
    return reference.value


def test_several_jobs_report_how_many_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "interrupted", threading.Event())
    calls = list[tuple[int, int]]()
    ray = SimpleNamespace(get=get)
    with watched_by(lambda done, total, activity: calls.append((done, total))):
        assert list(ray_cluster._results(ray, [Reference(7)])) == [7] and not calls
        assert list(ray_cluster._results(ray, [Reference(7), Reference(8)])) == [7, 8]
        assert calls == [(0, 2), (1, 2), (2, 2)]
        with pytest.raises(ZeroDivisionError):
            list(ray_cluster._results(ray, [Reference(7), Reference(ZeroDivisionError())]))
        ray_cluster.interrupted.set()
        with pytest.raises(RunError, match="interrupted"):
            list(ray_cluster._results(ray, [Reference(7), Reference(8)]))


def test_a_machine_that_is_too_busy_for_ray_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        raise Exception("The current node timed out during startup. This could happen because ...")  # noqa: TRY002

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_cluster, "interrupted", threading.Event())
    monkeypatch.setattr(ray_cluster.os, "environ", dict(ray_cluster.os.environ))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(RunError, match="Ray did not start .*: this machine is too busy"):
        ray_cluster.connect()


def test_why_a_cluster_cannot_be_joined_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster") from RuntimeError("No node info found")

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(ray_cluster, "interrupted", threading.Event())
    monkeypatch.setattr(ray_cluster, "check_address", lambda: None)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(InputError, match=r"joined there \(RuntimeError: No node info found\); start it"):
        ray_cluster.connect()


def test_a_signal_while_ray_starts_reaches_the_handler_of_this_process() -> None:
    reached: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: reached.append(number))
    try:
        with ray_cluster._own_handler():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # as Ray does
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert reached == [signal.SIGTERM, signal.SIGTERM]


def test_a_worker_that_hangs_at_its_exit_is_killed_and_no_other_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = ModuleType("ray")
    monkeypatch.setattr(ray, "shutdown", Mock(), raising=False)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_cluster, "PATIENCE", 0.1)
    shell, script = shutil.which("sh"), "sleep 60 & wait"
    own = raylet, agent, other = [
        Popen([name, "-c", script], executable=shell) for name in ("/x/raylet", "ray::Agent", "sh")
    ]
    while not all(psutil.Process(process.pid).children() for process in own):
        time.sleep(0.01)
    (hanging,) = psutil.Process(raylet.pid).children()
    result = ray_cluster._workers()
    try:
        assert result == [hanging], "neither what a joined cluster has started nor anything else"
        monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
        ray_cluster.disconnect()
        assert hanging.is_running(), "a joined cluster goes on"
        monkeypatch.delenv("RAY_ADDRESS")
        ray_cluster.disconnect()
        assert raylet.wait(10) == 0 and agent.poll() is None and other.poll() is None
    finally:
        for process in own:
            with contextlib.suppress(psutil.NoSuchProcess):
                conftest.end(process, 0)
