"""Choose and re-evaluate the finalists of a sweep."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from components.cluster import ray_cluster
from components.common import hashing
from components.common.errors import RunError
from components.config.sweep import Sweep
from components.store import Store
from components.tuning import capacity
from components.tuning.confirmation import interval
from components.tuning.repeat import Repeat, retrained
from components.tuning.trial import Terms
from components.tuning.trial_log import Told


def finalists(
    found: Sequence[Told],
    settings: Sweep,
    own: Mapping[str, Any] | None = None,
    scored: Sequence[Told] = (),
) -> list[Told]:
    """The trials to be judged again: those that came farthest, the best of them first.

    Where cost is searched for too, those that no other beats in both; if what is cheap is preferred, the
    cheapest that are not worse than the experiment's own. The experiment's `own` settings, where they are
    given, are always among them: as trial 0, if no trial had them.

    Args:
        found: the trials.
        settings: of the sweep.
        own: the experiment's settings.
        scored: those that were judged again already, none of which can win.

    Raises:
        RunError: no trial came to a value.
    """
    whole = [trial for trial in found if trial["state"] in ("done", "stopped") and trial["value"] is not None]
    if not whole:
        reasons = [trial["reason"] for trial in found if trial["reason"]]
        raise RunError(
            f"no trial of the sweep came to a value; the first said: {(reasons or ['nothing'])[0]}"
        )
    ranked = sorted(whole, key=lambda t: (_left(t), t["score"], t["number"]))
    first = {_what(t): t for t in reversed(ranked)}  # of twins
    known = set(map(_what, scored))
    ranked = [t for t in ranked if t in first.values() and _what(t) not in known]
    if settings.cost:
        ranked = [t for t in ranked if not any(_beats(other, t) for other in ranked)]
        mine = [t["score"] for t in whole if t["values"] == own]
        if settings.prefer == "cost" and mine:
            ranked.sort(key=lambda t: (t["score"] > mine[0], t["cost"] if t["score"] <= mine[0] else 0.0))
    chosen = ranked[: settings.finalists]
    if own is None or any(trial["values"] == own for trial in (*chosen, *scored)):
        return chosen
    same = [trial for trial in whole if trial["values"] == own]
    return chosen + (same or [{"number": 0, "values": dict(own), "schedule": None}])


def _what(trial: Told) -> str:
    """What two trials have in common that are one training."""
    return hashing.canonical([trial["values"], trial.get("schedule")])


def comparable_trials(scored: Sequence[Told], least: float) -> list[Told]:
    """Those that may win: judged with all seeds, and with none of them less diverse than `least`."""
    return [one for one in scored if one["mean"] is not None and one["diversity"] >= least]


def _left(trial: Told) -> tuple[bool, int]:
    """How far a trial came, the farthest first; one that is done has ended, be it early, of itself."""
    done = trial["state"] == "done"
    return not done, 0 if done else -len(trial["curve"])


def _beats(a: Told, b: Told) -> bool:
    """Whether a trial is better or cheaper than another, and in nothing behind it."""
    ours, theirs = (a["score"], a["cost"]), (b["score"], b["cost"])
    return ours != theirs and all(x <= y for x, y in zip(ours, theirs, strict=True))


def rescored(
    attempt: Store,
    store: Store,
    terms: Terms,
    chosen: Sequence[Told],
    settings: Sweep,
    seed: int,
    side_by_side: int,
    trained: Callable[[int, int], None],
) -> list[Told]:
    """The finalists, each trained with several seeds and judged by more samples.

    `trained` is told how many of those trainings are done, and how many there are.
    """
    folder = f"{attempt.root.removeprefix(store.root).strip('/')}/finals"
    seeds = [seed + i for i in range(settings.repeats)]
    jobs = [
        Repeat(
            terms,
            tuple(trial["schedule"] or [{"step": 0, "values": trial["values"]}]),
            one,
            settings.final_samples,
            folder,
        )
        for trial in chosen
        for one in seeds
    ]

    room = {"cpus": terms.threads, "gpus": capacity.gpus_of(terms, settings)}
    # Workers bring their own room, for which whoever waits for them must leave it.
    training = room if terms.workers == 1 else {"cpus": 0, "gpus": 0}
    results: list[Told] = []
    trained(0, len(jobs))
    for few in batched(jobs, side_by_side):
        made = (
            [retrained(job) for job in few]
            if terms.model
            else ray_cluster.each("components.tuning.repeat:retrained", [(job,) for job in few], **training)
        )
        judged = ray_cluster.each(
            "components.tuning.repeat:rescored", list(zip(few, made, strict=True)), **room
        )
        results += [one | {"uri": m.get("uri")} for one, m in zip(judged, made, strict=True)]
        trained(len(results), len(jobs))
    found = iter(results)
    scored = []
    for trial in chosen:
        repeats = [next(found) for _ in seeds]
        values = [one["value"] for one in repeats if one["value"] is not None]
        mean, low, high = interval(values) if len(values) == len(repeats) else (None, None, None)
        diversity = [one["diversity"] for one in repeats if one["diversity"] is not None]
        scored.append(
            {name: trial[name] for name in ("number", "values", "schedule")}
            | {"cost": statistics.fmean(one["cost"] for one in repeats) if mean is not None else None}
            | {"repeats": repeats, "mean": mean, "low": low, "high": high}
            | {"n": min((one["n"] for one in repeats if one.get("n")), default=settings.final_samples)}
            | {"diversity": min(diversity, default=None)}  # one that collapses with a seed is not the winner
        )
    return scored


def batched(items: Sequence[Any], n: int) -> Iterator[Sequence[Any]]:
    """So many of them at a time."""
    return (items[i : i + n] for i in range(0, len(items), n))


def winner(scored: Sequence[Told], settings: Sweep, least: float, own: Mapping[str, Any]) -> Told:
    """The finalist to train at full budget, of `scored` with the lowest mean first.

    `least` is the diversity, `own` what the experiment has.

    Raises:
        RunError: the samples of all finalists had collapsed, or their trainings failed.
    """
    fair = comparable_trials(scored, least)
    if not fair:
        reasons = [repeat["reason"] for one in scored for repeat in one["repeats"] if repeat.get("reason")]
        raise RunError(
            f"none of the {len(scored)} best trials of the sweep trained to the end with diverse samples on "
            f"all of its seeds{f'; the first that failed said: {reasons[0]}' if reasons else ''}"
        )
    best = fair[0]
    why = f"lowest mean of {len(best['repeats'])} seeds"
    mine = next((one for one in fair if one["values"] == own), None)
    if settings.prefer == "cost" and mine is not None:
        best = min((one for one in fair if one["mean"] <= mine["mean"]), key=lambda one: one["cost"])
        why = "the cheapest that is not worse than the experiment's own settings"
    return {name: best[name] for name in ("number", "values", "schedule", "mean")} | {"why": why}
