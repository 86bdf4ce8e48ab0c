"""A sweep from its first trial to its winner, and the winner against what it was to beat."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from components.cluster import ray_cluster
from components.common.errors import InputError
from components.config.sweep import Sweep
from components.records.names import EVENT
from components.store import Store
from components.tuning import importance, recommendations
from components.tuning.finalists import comparable_trials, finalists, rescored, winner
from components.tuning.space import Hyperparameter
from components.tuning.trial import Terms
from components.tuning.trial_log import Story, Told

STORY = "story.json"

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
    ray_cluster.connect()
    from components.tuning import capacity, search, suggest

    side_by_side, because = capacity.concurrency(terms, settings)
    terms = replace(
        terms, metric=ray_cluster.call("components.tuning.trial:metric_of", terms, cpus=terms.threads)
    )
    choices = suggest.labels(hyperparameters)

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
    search.search(terms, hyperparameters, settings, story, attempt.child("ray"))
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
        if comparable_trials(rivals, terms.diversity) or all(one["mean"] is None for one in judged):
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
        recommendations=recommendations.recommendations(spaces, fair, weights or {}),
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
