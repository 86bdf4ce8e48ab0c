"""Which hyperparameters of a sweep matter, and what its best trials say of the values that are recommended.

Hutter, Hoos & Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance,
https://proceedings.mlr.press/v32/hutter14.html: a forest is fitted to score(values); the importance
of a hyperparameter is the share of the forest's variance over the searched space that it explains alone.

We fit the ranks of scores, not the scores: one collapsed trial would else be all there is to explain. Lower
scores are better. Pure functions of the trials: their seeds are fixed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from components.common.finite import as_number, is_number

Values = Mapping[str, Any]

Scored = tuple[Values, float]  # the values of a trial and its score

Importance = dict[str, dict[str, float]]  # of each hyperparameter: value, low, high, chance

FEWEST = 8  # trials with a score: with fewer, a forest says nothing

BEST, FEWEST_BEST = 0.25, 3  # the best trials are this share of all, and at least so many

TREES, FEW_TREES = 64, 16  # of the forest, and of those of resampled trials

DEPTH = 5  # of a tree: deeper ones fit the noise of trials, and take minutes with 200 of them

RESAMPLES, SHUFFLES = 40, 20

NOTHING = 0.02  # a share of the variance that is as good as none

UNLIKELY = 0.05  # what chance does less often than this is not put down to chance


def comparable_scores(trials: Sequence[Mapping[str, Any]], rungs: Sequence[int]) -> list[Scored]:
    """The trials with scores that may be compared: each at the first rung, which all have reached.

    Without rungs the scores are the trials' own. Failed trials are left out, as are those that have not come
    so far; collapsed ones count as the worst of the others. Of a population, a trial that later went on from
    another counts as what it was until then.
    """
    own = [trial.get("began") or trial for trial in trials]
    found = [(trial, _score(trial, rungs)) for trial in own if trial.get("state") != "failed"]
    collapsed = [trial for trial, _ in found if trial.get("state") == "collapsed"]
    fair = [
        (trial.get("values") or {}, score)
        for trial, score in found
        if trial.get("state") != "collapsed" and score is not None
    ]
    fair = [one for i, one in enumerate(fair) if one not in fair[:i]]  # the same again is the same training
    worst = max((score for _, score in fair), default=None)
    return fair + [(trial.get("values") or {}, worst) for trial in collapsed if worst is not None]


def _score(trial: Mapping[str, Any], rungs: Sequence[int]) -> float | None:
    if not rungs:
        return as_number(trial.get("value"))
    at = [point for point in trial.get("curve") or [] if point.get("judged") == min(rungs)]
    return as_number(at[0].get("value")) if at else None


def importances(
    hyperparameters: Sequence[Mapping[str, Any]],
    trials: Sequence[Scored],
    *,
    resamples: int = RESAMPLES,
    shuffles: int = SHUFFLES,
) -> Importance | None:
    """The share of the variance of trials' ranks that each hyperparameter explains alone.

    Args:
        hyperparameters: as a sweep's result has them: name, kind, low, high, scale, values, default.
        trials: values and comparable scores.
        resamples: bootstraps over trials that the interval of 95 % is made of.
        shuffles: of the scores: "chance" is what a hyperparameter that says nothing gets 1 time in 20.

    Returns:
        by name {value, low, high, chance}; None where nothing can be told apart: too few trials, equal
        scores, or fewer than two hyperparameters that vary.
    """
    kept = [(values, score) for values, score in trials if is_number(score)]
    spaces = varying(hyperparameters, [values for values, _ in kept])
    kept = [(v, s) for v, s in kept if all(math.isfinite(_place(space, v)) for space in spaces)]
    ranks = rankdata([score for _, score in kept]) if kept else np.zeros(0)
    if len(kept) < FEWEST or len(spaces) < 2 or np.ptp(ranks) == 0:
        return None
    at = np.array([[_place(space, values) for space in spaces] for values, _ in kept])  # (trials, varying)
    bounds = [_bounds(space, at[:, i]) for i, space in enumerate(spaces)]
    rng = np.random.default_rng(0)
    with _silent():
        found = _fanova(at, ranks, bounds, TREES, 0)
        drawn = [rng.integers(0, len(kept), len(kept)) for _ in range(resamples)]
        again = np.array(
            [_fanova(at[rows], ranks[rows], bounds, FEW_TREES, i) for i, rows in enumerate(drawn)]
        )
        chance = np.array(
            [_fanova(at, rng.permutation(ranks), bounds, FEW_TREES, i) for i in range(shuffles)]
        )
    low, high = np.quantile(again, (0.025, 0.975), axis=0)
    least = np.quantile(chance, 1 - UNLIKELY, axis=0)
    return {
        str(space["name"]): {
            "value": float(found[i]),
            "low": float(min(low[i], found[i])),
            "high": float(max(high[i], found[i])),
            "chance": float(least[i]),
        }
        for i, space in enumerate(spaces)
    }


def matters(importance: Mapping[str, float] | None) -> bool:
    """Whether a hyperparameter explains more than nothing, and more than chance would let it."""
    if not importance:
        return False
    return importance["low"] > NOTHING and importance["value"] > importance.get("chance", 0.0)


def varying(
    hyperparameters: Sequence[Mapping[str, Any]], trials: Sequence[Values]
) -> list[Mapping[str, Any]]:
    """The hyperparameters of which the trials have tried more than one value."""
    return [
        space
        for space in hyperparameters
        if len({same_value(values.get(space["name"], space.get("default"))) for values in trials}) > 1
    ]


def _fanova(
    at: NDArray[np.float64],
    ranks: NDArray[np.float64],
    bounds: Sequence[tuple[float, float]],
    trees: int,
    seed: int,
) -> NDArray[np.float64]:
    """The importance of each column of `at`; nothing where all ranks are the same."""
    import optuna

    if np.ptp(ranks) == 0:
        return np.zeros(at.shape[1])
    # Every column is a stretch in its own scale: optuna would integrate a logarithmic range as a linear one,
    # and choices over the corners of a cube that stand for none of them.
    spaces = {f"{i:03}": optuna.distributions.FloatDistribution(*bound) for i, bound in enumerate(bounds)}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=float(rank),
                params=dict(zip(spaces, map(float, row), strict=True)),
                distributions=dict(spaces),
            )
            for row, rank in zip(at, ranks, strict=True)
        ]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=trees, max_depth=DEPTH, seed=seed)
    found = evaluator.evaluate(study)
    return np.array([found[name] for name in spaces])


@contextmanager
def _silent() -> Iterator[None]:
    """Without a line on every study that optuna makes."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _place(space: Mapping[str, Any], values: Values) -> float:
    """Where a trial lies along a hyperparameter: in its own scale; a choice by its number."""
    value = values.get(space["name"], space.get("default"))
    if is_choice(space):
        return float(choices_of(space, [value]).index(same_value(value)))
    number = as_number(value)
    if number is None:
        return math.nan
    return math.log10(number) if _is_log(space) and number > 0 else number


def _bounds(space: Mapping[str, Any], places: NDArray[np.float64]) -> tuple[float, float]:
    """The searched stretch, in the hyperparameter's scale; PBT's perturbations may have left it."""
    half = 0.5 if is_choice(space) or space.get("integer") and not _is_log(space) else 0.0
    low, high = float(places.min()), float(places.max())
    if is_choice(space):
        low, high = min(low, 0.0), max(high, len(space.get("values") or []) - 1.0)
    else:
        ends = (_place(space, {space["name"]: space.get(end)}) for end in ("low", "high"))
        known = [end for end in ends if math.isfinite(end)]
        low, high = min([low, *known]), max([high, *known])
    return low - half, high + half


def is_choice(space: Mapping[str, Any]) -> bool:
    """Whether a hyperparameter is one of a list, not somewhere between two ends."""
    return space.get("kind") == "choice" or as_number(space.get("low")) is None


def choices_of(space: Mapping[str, Any], more: Sequence[Any] = ()) -> list[str]:
    """The values of a choice as JSON, then `more`, each once."""
    return list(dict.fromkeys(same_value(value) for value in [*(space.get("values") or []), *more]))


def _is_log(space: Mapping[str, Any]) -> bool:
    return space.get("scale") == "log" and (as_number(space.get("low")) or 0.0) > 0


def same_value(value: Any) -> str:
    """What two equal values have in common: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
