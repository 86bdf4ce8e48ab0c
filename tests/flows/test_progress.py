"""Progress as plain lines, where there is no terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows import progress
from flows.progress import CommandProgress, ProgressDisplay


def test_without_a_terminal_there_is_a_line_for_each_quarter() -> None:
    out = io.StringIO()
    with ProgressDisplay(Console(file=out)) as display:
        display.begin("train vae")
        for step in range(1, 101):
            display.move("train vae", step, 100, "fast")
        display.end("train vae")
        display.say("done [not markup]" + " and more" * 20)
    lines = out.getvalue().splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["25/100", "50/100", "75/100", "100/100"]
    assert lines[-1] == "done [not markup]" + " and more" * 20, "a line stays one"


def test_long_work_is_not_silent_for_more_than_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with ProgressDisplay(Console(file=out)) as display:
        for step in range(1, 24):
            now[0] += 100.0
            display.move("train vae", step, 100, "")
    assert [line.split()[2] for line in out.getvalue().splitlines()] == ["8/100", "15/100", "22/100"]


def test_on_a_terminal_a_stage_has_a_bar_until_it_ends() -> None:
    out = io.StringIO()
    with ProgressDisplay(Console(file=out, force_terminal=True, width=120)) as display:
        display.begin("train vae")
        display.move("train vae", 3, 10, "fast")
        assert display._progress is not None and [t.completed for t in display._progress.tasks] == [3]
        display.end("train vae")
        assert not display._progress.tasks


def shown(
    monkeypatch: pytest.MonkeyPatch, reports: list[tuple[float, int, int, str]], output: Path | None = None
) -> list[str]:
    """The lines of a command whose work makes these reports, each after some seconds."""
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with ProgressDisplay(Console(file=out, width=200)) as display:
        command = CommandProgress(display, "begin", output)
        for seconds, done, total, activity in reports:
            now[0] += seconds
            if output and done:
                output.write_bytes(bytes(done * 10**6))
            command(done, total, activity)
        command.stop()
    return [line.strip() for line in out.getvalue().splitlines()]


def test_a_quick_command_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [(0.1, i, 10, "draw") for i in range(11)]) == []


def test_a_slow_command_says_how_long_it_takes_and_then_each_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [(30.0, 0, 100, "draw"), *[(3.0, i, 100, "draw") for i in range(10, 101, 10)]]
    lines = shown(monkeypatch, reports)
    assert lines[0] == "draw: about 27 seconds more"  # the thirty seconds before are not of this work
    assert lines[1:] == [f"draw: {n}/100" for n in (30, 50, 80, 100)]


def test_what_was_done_before_does_not_count_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, [(3.0, 900, 1000, "draw"), (10.0, 910, 1000, "draw")])
    assert lines == ["draw: 900/1000", "draw: about 90 seconds more"]


def test_activities_follow_one_another_and_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    once = [(2.0, i, 2, "read") for i in range(3)]
    lines = shown(monkeypatch, [(3.0, 0, 0, "list"), *once, *once])
    assert lines == ["read: 1/2", "read: 2/2"] * 2


def test_large_output_is_said_and_whether_it_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reports = [(1.0, 0, 50, "draw"), (3.0, 1, 50, "draw")]
    (line, *_) = shown(monkeypatch, reports, tmp_path / "a")
    assert line.startswith("draw: about 2.5 minutes more and ") and line.endswith(f" MB in {tmp_path}/a")
    monkeypatch.setattr(progress, "free_bytes", lambda path: 10**6)
    (line, *_) = shown(monkeypatch, reports, tmp_path / "b")
    assert line.endswith(f"in {tmp_path}/b, of which 1.0 MB are free")


def test_what_is_reserved_in_full_does_not_grow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(progress, "bytes_in", lambda path: sizes.pop(0))
    sizes = [0, 40 * 10**6, 40 * 10**6]  # before the command, at its first report, and when its rate is known
    (line, *_) = shown(monkeypatch, [(2.0, 1, 50, "read"), (3.0, 2, 50, "read")], tmp_path / "a")
    assert line == f"read: about 2.4 minutes more and 40.0 MB in {tmp_path}/a"


def test_on_a_terminal_a_bar_pulses_until_work_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET", 0.0)
    out = io.StringIO()
    with ProgressDisplay(Console(file=out, force_terminal=True, width=120)) as display:
        command = CommandProgress(display, "open the model")
        command._pulse.join()
        assert [task.description for task in display._progress.tasks] == ["open the model"]  # type: ignore[union-attr]
        command(1, 2, "draw")
        assert [task.description for task in display._progress.tasks] == ["draw"]  # type: ignore[union-attr]
        command.stop()
        assert not display._progress.tasks  # type: ignore[union-attr]
