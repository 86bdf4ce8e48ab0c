"""What happened in a sweep: every trial and every decision, as they are kept, shown and gone on from."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.common.finite import finite
from components.tuning.trial import COLLAPSED, WORST

KEPT_EVERY = 2.0  # seconds, at most, between two notes of what happened
RUNNING, OVER = "running", ("done", "stopped", "failed", "collapsed")

Told = dict[str, Any]


class Story:
    """The trials of a sweep by number, from 1, and the decisions about them.

    Args:
        keep: called with all that is known when something has happened, at most every two seconds.
        judgements: of a trial.
        before: what an interrupted sweep left, as `told` returned it.
        values_of: what a searcher's plain values stand for.
        best: whether trials keep their best weights, or the last.
    """

    def __init__(
        self,
        keep: Callable[[Told], None],
        judgements: int,
        before: Told | None = None,
        values_of: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
        best: bool = True,
    ):
        self.keep, self.judgements, self.values_of, self.best = keep, judgements, values_of, best
        self.suggested: list[dict[str, Any]] = list((before or {}).get("suggested", []))
        self.trials: dict[int, Told] = {}
        self.decisions: list[Told] = []
        self.numbers: dict[str, int] = {}
        self.began, self._kept = time.monotonic(), 0.0
        self.planned = len(self.suggested)  # trials there will be, which the search knows better
        self.side_by_side = 1  # how many run at once
        self.finals = 0, 0  # trainings of finalists that are done, and all of them
        self._free: list[float] = []  # since when slots have been free
        self._lock = threading.RLock()

    def __deepcopy__(self, memo: object) -> Story:
        """There is one; Tune copies what it is given."""
        return self

    def __getstate__(self) -> Told:
        """Tune writes down what it is given, too, and never needs it again."""
        return {
            name: value for name, value in vars(self).items() if name not in ("keep", "values_of", "_lock")
        }

    def number(self, trial_id: str) -> int:
        """A trial's number."""
        return self.numbers[trial_id]

    def add(self, trial_id: str, config: Mapping[str, Any]) -> int:
        """Another trial with these values, or one that begins again after losing its process; its number."""
        with self._lock:
            if trial_id in self.numbers:
                return self.numbers[trial_id]
            number = self.numbers[trial_id] = len(self.numbers) + 1
            self.trials[number] = {
                "number": number,
                "suggested": dict(config),
                "values": self.values_of(config),
                "state": "waiting",
                "reason": None,
                "uri": None,
                "uris": [],
                "key": None,
                "curve": [],
                "value": None,
                "score": WORST,
                "cost": None,
                "step": 0,
                "rung": 0,
                "seconds": 0.0,
                "overhead": None,
                "events": 0,
                "picture": None,
                "schedule": None,
                "began": None,
                "offset": None,
            }
            self._changed(at_once=True)  # what was suggested is not to be lost
            return number

    def start(self, trial_id: str) -> None:
        """A trial begins, or goes on."""
        with self._lock:
            trial = self.trials[self.numbers[trial_id]]
            if trial["state"] not in OVER:
                trial["state"] = RUNNING
            if trial["offset"] is None:
                trial["offset"] = self.offset
                trial["since"] = self._free.pop(0) if self._free else 0.0
            else:
                trial["since"] = None  # it has waited meanwhile: what it took besides its work is not known
            self._changed()

    def say(self, trial_id: str, result: Mapping[str, Any]) -> int:
        """A trial has said something: a judgement, or that it failed; its number."""
        with self._lock:
            trial = self.trials[self.numbers[trial_id]]
            if trial["state"] not in OVER:
                self._hear(trial, result)
            elif "seconds" in result:  # work all the same
                trial["seconds"] = result["seconds"]
            return int(trial["number"])

    def _hear(self, trial: Told, result: Mapping[str, Any]) -> None:
        if len(result["schedule"]) > 1:
            trial["schedule"] = [self._numbered(entry) for entry in result["schedule"]]
        if "failed" in result:
            trial["state"], trial["reason"] = "failed", str(result["failed"])
            self._note(
                trial["number"],
                trial["curve"][-1]["judged"] if trial["curve"] else 0,
                "failed",
                trial["reason"],
            )
            return
        shown = {name: finite(result[name]) for name in ("judged", "step", "value", "diversity", "seconds")}
        shown["score"] = result["score"]
        trial["curve"] = [s for s in trial["curve"] if s["judged"] < result["judged"]] + [shown]
        trial["uri"], trial["key"] = result["uri"], str(result["uri"]).split("/")[2]
        trial["uris"] = list(dict.fromkeys([*trial["uris"], result["uri"]]))
        trial["step"], trial["seconds"] = result["step"], result["seconds"]
        trial["cost"] = finite(result["cost"])
        self._changed()

    def _numbered(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An entry of a schedule with the number of the trial that it goes on from, where that is another."""
        return dict(entry) | ({"from": self.numbers.get(entry["from"])} if "from" in entry else {})

    def end(self, trial_id: str, failed: str | None = None) -> None:
        """A trial is over."""
        with self._lock:
            trial = self.trials[self.numbers[trial_id]]
            if failed and trial["state"] not in OVER:
                trial["state"], trial["reason"] = "failed", failed
                self._note(trial["number"], 0, "failed", failed)
            if trial["state"] not in OVER:
                trial["state"] = "done"
            now = self.offset
            self._free.append(now)
            if trial.get("since") is not None and (over := now - trial["since"] - trial["seconds"]) > 0:
                trial["overhead"] = over  # less: its work was done before, and read from the store
            self._changed()

    def decide(self, number: int, judged: int, did: str, why: str) -> None:
        """A trial goes on from a rung, or is stopped there: what it says later does not count."""
        with self._lock:
            trial = self.trials[number]
            if did == "stopped":
                trial["state"], trial["reason"] = "stopped", why
                trial["curve"] = [said for said in trial["curve"] if said["judged"] <= judged]
                if trial["curve"]:
                    trial["step"] = trial["curve"][-1]["step"]
            else:
                trial["rung"] = judged
            self._note(number, judged, did, why)

    def exploit(self, number: int, donor: int, judged: int, config: Mapping[str, Any], why: str) -> None:
        """A trial goes on from another, with other values; what its own first values came to is kept."""
        with self._lock:
            trial = self.trials[number]
            if trial["began"] is None:
                trial["began"] = {name: _valued(trial, self.best, over=True)[name] for name in BEGAN}
            trial["values"] = self.values_of(config)
            curve = self.trials[donor]["curve"]
            trial["curve"] = [dict(said) for said in curve if said["judged"] <= judged]
            self._note(number, judged, "exploited", why, donor=donor, values=trial["values"])

    def _note(self, number: int, judged: int, did: str, why: str, **more: Any) -> None:
        note = {"offset": self.offset, "trial": number, "judged": judged, "did": did, "why": why}
        self.decisions.append(note | more)
        self._changed()

    @property
    def offset(self) -> float:
        """Seconds since the sweep began, or went on."""
        return round(time.monotonic() - self.began, 1)

    def settled(self, best: bool) -> Told:
        """All that is known, with the value of each trial: its best judgement, or its last.

        Args:
            best: whether trials keep their best weights, or the last.
        """
        with self._lock:
            added = [trial["suggested"] for trial in self.trials.values()]
            return {
                "trials": [_valued(t, best) for t in self.trials.values()],
                "decisions": list(self.decisions),
                "suggested": added
                + self.suggested[len(added) :],  # before an interruption, and not tried yet
            }

    @property
    def told(self) -> Told:
        """All that is known."""
        return self.settled(self.best)

    def counts(self) -> dict[str, int]:
        """How many trials are in which state."""
        with self._lock:
            states = [trial["state"] for trial in self.trials.values()]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    def share(self) -> float:
        """Trials done: judgements made over those to be made; trials that are over count whole."""
        with self._lock:
            done = sum(
                1.0 if t["state"] in OVER else len(t["curve"]) / self.judgements for t in self.trials.values()
            )
        return done

    def left(self) -> float | None:
        """Seconds that trials and finalists may still take, by what trials took, in this process or before.

        None where not even so much as one trial was made yet.
        """
        share = self.share()
        if share < 1:
            return None
        with self._lock:
            seconds = [trial["seconds"] for trial in self.trials.values()]
        trials = max(0.0, self.planned - share) * sum(seconds) / share / self.side_by_side
        done, of = self.finals
        return trials + math.ceil((of - done) / self.side_by_side) * max(seconds)

    def _changed(self, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._kept > KEPT_EVERY:
            self.keep(self.told)
            self._kept = time.monotonic()  # once it is kept, which may take long


BEGAN = ("values", "curve", "value", "state")


def _valued(trial: Told, best: bool, over: bool = False) -> Told:
    """A trial with its value, and whether its samples had collapsed, if it is `over`."""
    curve: Sequence[Told] = trial["curve"]
    known = [said for said in curve if said["value"] is not None]
    if not known or trial["state"] == "failed":
        return dict(trial)
    one = min(known, key=lambda said: said["score"]) if best else known[-1]
    state = trial["state"]
    if (over or state in ("done", "stopped")) and one["score"] >= COLLAPSED / 2:
        state = "collapsed"
    return trial | {"value": one["value"], "score": one["score"], "state": state}
