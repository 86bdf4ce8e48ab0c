"""Ctrl-C, SIGTERM and a closed terminal stop the jobs; commands inside other programs change no handler."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from components.common import interruption
from components.common.errors import RunError
from components.common.interruption import interrupted
from flows import start
from flows.cli import app
from flows.signals import SIGNALS, stop_on_signals


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the handlers have stopped; afterwards the handlers are as before."""
    calls: list[str] = []
    monkeypatch.setattr(interruption, "stop", lambda: calls.append("cluster"))
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield calls
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupted.clear()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_the_jobs_and_interrupts_once(stopped: list[str], number: signal.Signals) -> None:
    stop_on_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    for again in SIGNALS:
        signal.raise_signal(again)  # must not break off the stopping
    assert stopped == ["cluster"]


def test_a_run_after_an_interrupted_one_waits_for_its_store_again(
    stopped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted.set()
    monkeypatch.setattr(start, "check_stages", Mock(side_effect=RunError("enough")))
    with pytest.raises(RunError, match="enough"):
        start.start(Mock())
    assert not interrupted.is_set()


def test_nohup_is_respected(stopped: list[str]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals()
    signal.raise_signal(signal.SIGHUP)
    assert stopped == []


def test_other_threads_install_no_handlers(stopped: list[str]) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    errors: list[BaseException] = []

    def install() -> None:
        try:
            stop_on_signals()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert not errors and [signal.getsignal(number) for number in SIGNALS] == before


def test_a_command_called_by_a_program_leaves_its_handlers(home: object) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(SystemExit):
        app.main(["runs", "--store", "nothing"])
    assert [signal.getsignal(number) for number in SIGNALS] == before


STUCK = """
import sys, threading, time
from flows import signals

signals.SECONDS, signals.TOGETHER = float(sys.argv[1]), 0.0
signals.interruption.stop = threading.Event().wait  # for ever
signals.stop_on_signals(command=True)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(("seconds", "signals"), [(600, 100), (0.1, 1)], ids=["another", "time"])
def test_a_command_that_does_not_end_is_ended(seconds: float, signals: int) -> None:
    command = [sys.executable, "-c", STUCK, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == "atelier: interrupted, and ended at once; run the same command again\n"
