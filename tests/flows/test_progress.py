"""Progress as plain lines, where there is no terminal."""

from __future__ import annotations

import io

from rich.console import Console

from flows.progress import ProgressDisplay


def test_without_a_terminal_there_is_a_line_for_each_quarter() -> None:
    out = io.StringIO()
    with ProgressDisplay(Console(file=out)) as display:
        display.begin("train vae")
        for step in range(1, 101):
            display.move("train vae", step, 100, "fast")
        display.end("train vae")
        display.say("done [not markup]")
    lines = out.getvalue().splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["25/100", "50/100", "75/100", "100/100"]
    assert lines[-1] == "done [not markup]"


def test_on_a_terminal_a_stage_has_a_bar_until_it_ends() -> None:
    out = io.StringIO()
    with ProgressDisplay(Console(file=out, force_terminal=True, width=120)) as display:
        display.begin("train vae")
        display.move("train vae", 3, 10, "fast")
        assert display._progress is not None and [t.completed for t in display._progress.tasks] == [3]
        display.end("train vae")
        assert not display._progress.tasks
