"""A sweep from its first trial to its winner, and the winner against what it was to beat."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scipy.stats import t as student

from components import importance, launch, stages, trials
from components.config import Sweep
from components.errors import InputError, RunError
from components.report.health import EVENT
from components.spaces import Hyperparameter
from components.storage import Store
from components.story import Story, Told
from components.trials import Repeat, Terms

STORY = "story.json"
CONFIDENCE = 0.95

Moved = Callable[[Story], None]
"""Told now and then how far a sweep is."""


def sweep(
    store: Store,
    attempt: Store,
    terms: Terms,
    hyperparameters: Sequence[Hyperparameter],
    settings: Sweep,
    *,
    seed: int,
    keep: str,
    moved: Moved,
) -> Told:
    """Try, re-score the best, and name the winner; a sweep that was interrupted goes on.

    Args:
        store: where everything lies.
        attempt: the sweep's own folder.
        terms: what trials have in common, the metric as it was asked for.
        hyperparameters: what is searched.
        settings: of the sweep.
        seed: that trials are trained with.
        keep: which weights of a training count, the best or the last.
        moved: told how far it is.

    Raises:
        InputError: the family has no such measure, or a trial does not fit the cluster.
        RunError: no trial came to a value.
    """
    launch.connect()
    from components import tuning  # imports Ray, which reads its environment then: after launch has set it

    side_by_side, because = tuning.concurrency(terms, settings)
    terms = replace(terms, metric=launch.call("components.trials:metric_of", terms, cpus=terms.threads))
    choices = tuning.labels(hyperparameters)

    def known(told: Told, **more: Any) -> Told:
        found = _pictured(store, told["trials"], bool(terms.model))
        return (
            described(terms, settings, hyperparameters, side_by_side, because, story.planned)
            | told
            | {"trials": found}
            | more
        )

    def keep_story(told: Told) -> None:
        attempt.write_json(STORY, told)
        attempt.write_json("progress.json", {"swept": known(told, **NOT_YET, seconds_left=story.left())})
        moved(story)

    def values_of(config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: choices.get(name, {}).get(value, value) for name, value in config.items()}

    def trained(done: int, of: int) -> None:
        story.finals = done, of
        keep_story(story.told)

    before = attempt.read_json(STORY) if attempt.exists(STORY) else None
    story = Story(keep_story, terms.judgements, before, values_of, best=keep == "best")
    story.finals = 0, settings.finalists * settings.repeats
    tuning.search(terms, hyperparameters, settings, story, attempt.child("ray"))
    attempt.delete("ray")
    told = story.told
    keep_story(told)
    own = {h.name: h.default for h in hyperparameters}
    beside = own if terms.model or settings.prefer == "cost" else None
    scored: list[Told] = []
    while chosen := finalists(told["trials"], settings, beside, scored):
        judged = rescored(attempt, store, terms, chosen, settings, seed, side_by_side, trained)
        scored += judged
        rivals = [one for one in scored if one["values"] != beside]
        if _fair(rivals, terms.diversity) or all(one["mean"] is None for one in judged):
            break  # else all had collapsed, and the next best may not have
    scored.sort(key=lambda one: (one["mean"] is None, one["mean"] or 0.0))
    won = winner(scored, settings, terms.diversity, own)
    _prune(store, told["trials"], scored, settings.checkpoints)
    spaces = [h.described() for h in hyperparameters]
    fair = importance.comparable_scores(told["trials"], settings.rungs)
    weights = importance.importances(spaces, fair)
    spent = [trial["overhead"] for trial in told["trials"] if trial["overhead"] is not None]
    return known(
        told,
        finalists=scored,
        winner=won,
        importance=weights and {"n": len(fair), "at": _where(settings), "of": weights},
        recommendations=importance.recommendations(spaces, fair, weights or {}),
        overhead_seconds={"mean": statistics.fmean(spent), "max": max(spent)} if spent else None,
    )


NOT_YET: Told = dict.fromkeys(("winner", "importance", "overhead_seconds"), None)
NOT_YET |= {"finalists": [], "recommendations": []}


def described(
    terms: Terms,
    settings: Sweep,
    hyperparameters: Sequence[Hyperparameter],
    side_by_side: int,
    because: str,
    planned: int,
) -> Told:
    """What a sweep is, for the page; `planned`: how many trials there are to be."""
    chosen = ("searcher", "scheduler", "judgements", "rungs", "factor", "diversity")
    drawing = bool(terms.model)
    return {
        "family": terms.family,
        "kind": "sampling" if drawing else "training",
        "seed": settings.seed,
        "metric": {"name": terms.metric, "n": terms.samples, "split": "validation", "floor": None},
        "cost": {"name": "processor seconds an image", "unit": "s"}
        if drawing
        else {"name": "seconds of training and judging", "unit": "s"},
        "settings": {name: getattr(settings, name) for name in chosen}
        | {"steps": None if drawing else terms.block["train"]["steps"]}
        | {"trials": planned, "concurrent": side_by_side, "because": because},
        "hyperparameters": [h.described() for h in hyperparameters],
    }


def _where(settings: Sweep) -> str:
    if not settings.rungs:
        return "the end of each trial"
    return f"judgement {settings.grace} of {settings.judgements}, which all trials reached"


# Finalists.


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
    return stages.canonical([trial["values"], trial.get("schedule")])


def _fair(scored: Sequence[Told], least: float) -> list[Told]:
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
    from components import tuning

    room = {"cpus": terms.threads, "gpus": tuning.gpus_of(terms, settings)}
    # Workers bring their own room, for which whoever waits for them must leave it.
    training = room if terms.workers == 1 else {"cpus": 0, "gpus": 0}
    results: list[Told] = []
    trained(0, len(jobs))
    for few in batched(jobs, side_by_side):
        made = (
            [trials.retrained(job) for job in few]
            if terms.model
            else launch.each("components.trials:retrained", [(job,) for job in few], **training)
        )
        judged = launch.each("components.trials:rescored", list(zip(few, made, strict=True)), **room)
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


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean of independent values and its 95 % interval by Student's t; of one value there is none."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None, None
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def winner(scored: Sequence[Told], settings: Sweep, least: float, own: Mapping[str, Any]) -> Told:
    """The finalist to train at full budget, of `scored` with the lowest mean first.

    `least` is the diversity, `own` what the experiment has.

    Raises:
        RunError: the samples of all finalists had collapsed, or their trainings failed.
    """
    fair = _fair(scored, least)
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


# The winner against the experiment's own settings.


def duel(metric: str, pairs: Sequence[Mapping[str, Any]], **about: Any) -> Told:
    """The differences of two settings on the same fresh seeds, and whether they are more than chance.

    Args:
        metric: what they are compared by, lower the better.
        pairs: for each seed the two values: {"seed", "winner", "default"}.
        about: what else is to be known: n, split, floor; `failed`, the trainings that gave no value.
    """
    differences = [pair["winner"] - pair["default"] for pair in pairs]
    value, low, high = interval(differences)
    says = "one seed says nothing of chance"
    if not any(differences):
        says = "the winner is what the config has"
    elif low is not None and high is not None:
        says = "better" if high < 0 else "worse" if low > 0 else "no significant gain"
    lost = {side: sum(one["side"] == side for one in about.get("failed", ())) for side in SIDES}
    if lost["winner"] > lost["default"]:
        says = f"the winner failed on {lost['winner']} of {lost['winner'] + len(pairs)} seeds"
    told = {name: [pair[name if name != "seeds" else "seed"] for pair in pairs] for name in ("seeds", *SIDES)}
    return (
        about
        | told
        | {"metric": metric, "difference": {"value": value, "low": low, "high": high}, "says": says}
    )


SIDES = ("winner", "default")


def full_schedule(block: Mapping[str, Any], won: Told, trial_steps: int) -> dict[str, Any]:
    """The winner's settings at full budget; a schedule is stretched to it."""
    from components import spaces

    first, *later = won["schedule"] or [{"step": 0, "values": won["values"]}]
    whole = spaces.applied(dict(block), first["values"])
    steps = whole["train"]["steps"]
    stones = [{"step": max(1, round(e["step"] * steps / trial_steps)), "change": e["values"]} for e in later]
    return whole | {"train": whole["train"] | {"milestones": stones}}


# What is left in the store.


def _pictured(store: Store, found: Sequence[Told], drawing: bool) -> list[Told]:
    """The trials with the file of their newest samples, and how many diagnoses they had."""
    shown = []
    for trial in found:
        uri, step = trial["uri"], trial["step"]
        name = "drawn" if drawing else f"step-{step:07d}"
        events = [e for e in store.list(f"{uri}/health") if EVENT.fullmatch(e)] if uri and not drawing else []
        shown.append(trial | {"picture": uri and f"{uri}/samples/{name}.webp", "events": len(events)})
    return shown


def _prune(store: Store, found: Sequence[Told], scored: Sequence[Told], policy: str) -> None:
    """Delete the checkpoints that the policy does not keep; a trial that is asked for again trains again."""
    if policy == "all":
        return
    numbers = {one["number"] for one in scored}
    finals = {uri for trial in found if trial["number"] in numbers for uri in trial["uris"]}
    finals |= {repeat["uri"] for one in scored for repeat in one["repeats"] if repeat["uri"]}
    every = finals.union(*(trial["uris"] for trial in found))
    for uri in every - finals if policy == "finalists" else every:  # twins share one
        store.delete(f"{uri}/checkpoints")


def refuse_changed(before: str, now: str, name: str, run_id: str) -> None:
    """Raises InputError where the data of a sweep is no longer what it was."""
    if before != now:
        raise InputError(
            f"sweep {run_id} searched on version {before[:10]} of {name}, and {now[:10]} is prepared now: "
            f"prepare the former again to go on with it, or start a new sweep"
        )
