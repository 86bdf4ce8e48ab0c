"""Show the progress of a run on standard error: bars on a terminal, else plain lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from components.common.errors import sentence
from components.common.public import without_secrets


class ProgressDisplay:
    """A thread-safe display of the progress of stages."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.keep: Callable[[str], None] = lambda line: None  # called with each line, without credentials
        self._lock = threading.Lock()
        self._quarter: dict[str, int] = {}
        self._bars: dict[str, Any] = {}
        self._progress = (
            Progress(
                TextColumn("  {task.description:<22}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]:<34}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> ProgressDisplay:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def say(self, text: str, style: str = "") -> None:
        """Print a line, without credentials."""
        with self._lock:
            self.console.print(Text(without_secrets(text), style=style))
        self.keep(without_secrets(text))

    @contextmanager
    def tolerating(self, what: str, done: str = "") -> Iterator[None]:
        """Suppress and print an error while building `what`, on which the run does not depend.

        `done` is what could not be done with something other than a page, such as "written".
        """
        try:
            yield
        except Exception as error:
            advice = "" if done else "; `atelier report build` builds it later"
            self.say(f"  {what} could not be {done or 'built'}: {sentence(error)}{advice}", "yellow")

    def begin(self, title: str) -> None:
        """Show a bar for a stage; it pulses until the first `move`."""
        with self._lock:
            if self._progress and title not in self._bars:
                self._bars[title] = self._progress.add_task(title, total=None, note="")

    def move(self, title: str, step: int, steps: int, note: str) -> None:
        """Show that a stage has done `step` of `steps`."""
        with self._lock:
            if self._progress:
                self._progress.update(self._bars[title], completed=step, total=steps, note=note)
                return
            quarter = 4 * step // steps
            if quarter > self._quarter.get(title, 0):
                self._quarter[title] = quarter
                self.console.print(Text(f"  {title}: {step}/{steps} {note}"))

    def end(self, title: str) -> None:
        """Remove the bar of a stage."""
        with self._lock:
            if self._progress and title in self._bars:
                self._progress.remove_task(self._bars.pop(title))
