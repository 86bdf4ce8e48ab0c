"""Find what may be removed from a store, and why everything else stays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.common.errors import InputError
from components.records.run import RunHead
from components.records.stored import StoredResult, Success
from components.registry.runs import read_record
from components.retention.references import References, references, registered
from components.stages.cache import REMOVABLE
from components.store import Store
from components.store.errors import unless_torn

DAY = 86400.0
NAMED = 3  # runs that refer to an output are named, if they are not more
SWEEP_FINISHED = ("done", "partial")


@dataclass(frozen=True)
class Item:
    """Files that may be removed: a run, an output, a superseded attempt, or checkpoints of a finished one."""

    kind: str  # run | output | attempt | checkpoints
    path: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Retained:
    """An output that stays, or checkpoints in it."""

    path: str
    bytes: int
    why: str
    runs: list[str] = field(default_factory=list)  # that keep it; none if something else does


@dataclass
class Survey:
    """The items that may be removed from a store, those that stay, and the runs that are running now."""

    items: list[Item] = field(default_factory=list)
    staying: list[Retained] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """How much would be freed."""
        return sum(item.bytes for item in self.items)


@dataclass(frozen=True)
class Output:
    """The folder of a stage's results under one key."""

    store: Store
    stage: str
    key: str
    sizes: Mapping[str, int]  # of its files, by path

    @property
    def path(self) -> str:
        """Its folder in the store."""
        return f"store/{self.stage}/{self.key}"

    @property
    def attempts(self) -> list[int]:
        """The numbers of its attempts."""
        names = {path.split("/")[1] for path in self.sizes if path.startswith("attempts/")}
        return sorted(int(name) for name in names if name.isdecimal())

    @property
    def winner(self) -> int | None:
        """The attempt that has the result; None if it is unfinished."""
        success = Success.read(self._json("_SUCCESS"))
        return success.attempt if success else None

    def ended(self, attempt: int) -> float | None:
        """When an attempt finished, in seconds since 1970; None if it has not."""
        result = StoredResult.read(self._json(f"attempts/{attempt}/result.json"))
        return result.ended if result else None

    def size(self, prefix: str = "") -> int:
        """The bytes of all files whose path begins with `prefix`."""
        return sum(size for path, size in self.sizes.items() if path.startswith(prefix))

    def modified(self) -> float:
        """When the folder was last written; the present, if the store does not know."""
        try:
            times = [self.store.fs.modified(self.store.path(f"{self.path}/{name}")) for name in self.sizes]
        except (NotImplementedError, AttributeError, OSError):
            return time.time()
        return max((when.timestamp() for when in times), default=time.time())

    def _json(self, name: str) -> Any:
        path = f"{self.path}/{name}"
        return unless_torn(lambda: self.store.read_json(path)) if name in self.sizes else None


def survey(store: Store, days: float, runs: Sequence[str] = ()) -> Survey:
    """Return what may be removed from a store.

    Args:
        store: the store.
        days: nothing that was made in the last days is removed.
        runs: ids of runs that are removed, and what only they refer to, however new it is.

    Raises:
        InputError: the record of a run cannot be read, or a champion or a review names one of `runs`.
    """
    stages = {key: stage for stage in store.list("store") for key in store.list(f"store/{stage}")}
    referred, result = references(store, stages, runs), Survey()
    of_stages = references(store, stages).reasons if runs else {}
    result.items = [_run(store, run_id) for run_id in runs]
    heads = [head for run_id in store.list("runs") if (head := read_record(store, run_id, RunHead))]
    result.running = [head.run_id for head in heads if head.standing == "running"]
    searching = [h.run_id for h in heads if h.kind == "sweep" and h.standing not in SWEEP_FINISHED]
    before = time.time() - days * DAY
    for key, stage in sorted(stages.items(), key=lambda pair: (pair[1], pair[0])):
        output = Output(store, stage, key, store.sizes(f"store/{stage}/{key}"))
        if key in of_stages and key not in referred.reasons:
            result.items.append(
                Item("output", output.path, output.size(), f"only {of_stages[key]} refers to it")
            )
            continue
        if key not in referred.reasons:
            _unreferenced(output, before, days, result)
            continue
        parts = list(_within(output, referred, before, days, searching))
        result.items += [part for part in parts if isinstance(part, Item)]
        result.staying += [part for part in parts if isinstance(part, Retained)]
        rest = output.size() - sum(part.bytes for part in parts)
        runs_of_output = referred.runs[key]
        result.staying.append(
            Retained(output.path, rest, _why(output, referred, runs_of_output), runs_of_output)
        )
    return result


def _run(store: Store, run_id: str) -> Item:
    """Return a run that is to be removed; raise InputError if a champion or a review names it."""
    if named := registered(store, run_id):
        raise InputError(
            f"run {run_id} stays: {named[0]} names it; `atelier champions` shows the history, which keeps "
            "its runs"
        )
    return Item("run", f"runs/{run_id}", sum(store.sizes(f"runs/{run_id}").values()), "asked for")


def _unreferenced(output: Output, before: float, days: float, result: Survey) -> None:
    """Add an output that nothing refers to: to what stays if it is new."""
    ends = [end for number in output.attempts if (end := output.ended(number))]
    if max(ends, default=0.0) >= before or (not ends and output.modified() >= before):
        result.staying.append(Retained(output.path, output.size(), new(days)))
    else:
        result.items.append(Item("output", output.path, output.size(), "nothing refers to it"))


def _within(
    output: Output, referred: References, before: float, days: float, searching: list[str]
) -> Iterator[Item | Retained]:
    """Yield what may be removed within an output that stays, now or once it is old enough."""
    winner = output.winner
    if winner is None:
        return
    for number in output.attempts:
        if number < winner and (output.key, number) not in referred.attempts:
            path = f"attempts/{number}"
            why = f"superseded by attempt {winner}"
            yield Item("attempt", f"{output.path}/{path}", output.size(f"{path}/"), why)
    ended = output.ended(winner)
    if ended is None or (output.stage == "trial" and searching):
        return
    for name in REMOVABLE:
        if size := output.size(f"attempts/{winner}/{name}"):
            path = f"{output.path}/attempts/{winner}/{name.rstrip('/')}"
            if ended >= before:
                yield Retained(path, size, new(days))
            else:
                yield Item("checkpoints", path, size, "its attempt is finished")


def new(days: float) -> str:
    """Return that something stays because it is new."""
    return f"made in the last {days:g} days"


def _why(output: Output, referred: References, runs: Sequence[str]) -> str:
    """Return what refers to an output: all runs that do, if they are few."""
    reason = referred.reasons[output.key]
    if len(runs) > 1:
        reason = f"runs {', '.join(runs)}" if len(runs) <= NAMED else f"{len(runs)} runs, the last {runs[-1]}"
    return reason if output.winner else f"{reason}, unfinished: the same command resumes it"
