"""Show the progress of a run on standard error: bars on a terminal, else plain lines."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from components.common.errors import sentence
from components.common.public import without_secrets
from components.common.units import duration, size

QUIET = 2.0  # seconds of work before its progress is shown
SILENT = 600.0  # seconds without a line, at most, while work continues
LONG = 5.0  # seconds, at least, that a sentence says something takes
LARGE = 10**7  # bytes, at least, that a sentence says something takes
BLOCK = 512  # bytes of st_blocks, whatever the file system


class ProgressDisplay:
    """A thread-safe display of the progress of stages."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.keep: Callable[[str], None] = lambda line: None  # called with each line, without credentials
        self._lock = threading.Lock()
        self._lines: dict[str, tuple[int, float]] = {}  # stage: quarter and time of its last line
        self._bars: dict[str, TaskID] = {}
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
            self.console.print(Text(without_secrets(text), style=style), soft_wrap=True)
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
            quarter, now = 4 * step // steps, time.monotonic()
            before, at = self._lines.setdefault(title, (0, now))
            if quarter > before or now - at > SILENT:
                self._lines[title] = quarter, now
                self.console.print(Text(f"  {title}: {step}/{steps} {note}"), soft_wrap=True)

    def end(self, title: str) -> None:
        """Remove the bar of a stage."""
        with self._lock:
            self._lines.pop(title, None)
            if self._progress and title in self._bars:
                self._progress.remove_task(self._bars.pop(title))


class CommandProgress:
    """Shows the work of one command, which reports it, once it has taken two seconds.

    As soon as the rate of the work is known, a sentence says how long the rest takes, and how much is written
    to `output`: what an activity reserves before its first report, in full. Until then a bar pulses on a
    terminal, titled `activity`.
    """

    def __init__(self, display: ProgressDisplay, activity: str, output: Path | None = None):
        self.display, self.output = display, output
        self.start = time.monotonic()
        self._begin(activity, 0, self.start)
        self.written = self.reserved  # before the command

    def _begin(self, activity: str, done: int, now: float) -> None:
        """Begin with an activity of which `done` was done before."""
        self.activity, self.done, self.since, self.announced = activity, done, now, False
        self.reserved = bytes_in(self.output)
        self._pulse = threading.Timer(max(0.0, self.start + QUIET - now), self.display.begin, [activity])
        self._pulse.daemon = True
        self._pulse.start()

    def stop(self) -> None:
        """Remove the bar."""
        self._pulse.cancel()
        self.display.end(self.activity)

    def __call__(self, done: int, total: int, activity: str) -> None:
        """Show that `done` of `total` are done; several activities follow one another."""
        now = time.monotonic()
        if activity != self.activity or done == 0:
            self.stop()
            self._begin(activity, done, now)
        if now - self.start <= QUIET or total == 0:
            return
        if done > self.done and not self.announced:
            self.announced = True
            share = (total - done) / (done - self.done)
            if sentence := self.rest(share * (now - self.since), share):
                self.display.say(f"  {activity}: {sentence}")
        self.display.begin(activity)
        self.display.move(activity, done, total, "")

    def rest(self, seconds: float, share: float) -> str:
        """Return what the rest takes: seconds, and `share` times the bytes so far; empty if it is little."""
        now = bytes_in(self.output)
        more = share * max(0, now - self.reserved)
        total = max(0, now - self.written) + more
        parts = [f"{duration(seconds)} more"] if seconds >= LONG else []
        if self.output and total >= LARGE:
            free = free_bytes(self.output)
            short = f", of which {size(free)} are free" if free < more else ""
            parts.append(f"{size(total)} in {self.output}{short}")
        return f"about {' and '.join(parts)}" if parts else ""


def bytes_in(path: Path | None) -> int:
    """Return what a file, or all in a folder, take on the disk; what vanishes meanwhile does not count."""
    total = 0
    for file in (path, *path.rglob("*")) if path and path.exists() else ():
        with contextlib.suppress(OSError):
            total += file.lstat().st_blocks * BLOCK
    return total


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk of a file or folder, which need not exist yet."""
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free
