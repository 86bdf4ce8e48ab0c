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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from components.common.finite import as_number
from components.records.sweep import SearchedHyperparameter, Share
from components.records.trial import Trial, TrialState, Values

Scored = tuple[Values, float]  # the values of a trial and its score

FEWEST = 8  # trials with a score: with fewer, a forest says nothing

BEST, FEWEST_BEST = 0.25, 3  # the best trials are this share of all, and at least so many

TREES, FEW_TREES = 64, 16  # of the forest, and of those of resampled trials

DEPTH = 5  # of a tree: deeper ones fit the noise of trials, and take minutes with 200 of them

RESAMPLES, SHUFFLES = 40, 20

NOTHING = 0.02  # a share of the variance that is as good as none

UNLIKELY = 0.05  # what chance does less often than this is not put down to chance


def comparable_scores(trials: Sequence[Trial], rungs: Sequence[int]) -> list[Scored]:
    """The trials with scores that may be compared: each at the first rung, which all have reached.

    Without rungs the scores are the trials' own. Failed trials are left out, as are those that have not come
    so far; collapsed ones count as the worst of the others. Of a population, a trial that later continued
    from another counts as what it was until then.
    """
    scored = [(trial.original, _score(trial.original, rungs)) for trial in trials]
    comparable: list[Scored] = []
    for trial, score in scored:
        pair = (trial.values, score)
        # The same again is the same training.
        if not trial.cannot_win and score is not None and pair not in comparable:
            comparable.append((trial.values, score))
    if not comparable:
        return []
    worst = max(score for _, score in comparable)
    return comparable + [(trial.values, worst) for trial, _ in scored if trial.state == "collapsed"]


def _score(trial: TrialState, rungs: Sequence[int]) -> float | None:
    if not rungs:
        return trial.value
    return next((point.value for point in trial.curve if point.judged == min(rungs)), None)


def importances(
    hyperparameters: Sequence[SearchedHyperparameter],
    trials: Sequence[Scored],
    *,
    resamples: int = RESAMPLES,
    shuffles: int = SHUFFLES,
) -> dict[str, Share] | None:
    """The share of the variance of trials' ranks that each hyperparameter explains alone.

    Args:
        hyperparameters: what was searched.
        trials: values and comparable scores.
        resamples: bootstraps over trials, for the interval of 95 %.
        shuffles: of the scores, for the share that a hyperparameter without effect gets once in 20 times.

    Returns:
        The shares by name; None where nothing can be told apart: too few trials, equal scores, or fewer than
        two hyperparameters that vary.
    """
    spaces = varying(hyperparameters, [values for values, score in trials if math.isfinite(score)])
    usable = [
        (values, score)
        for values, score in trials
        if math.isfinite(score) and all(math.isfinite(_place(space, values)) for space in spaces)
    ]
    ranks = rankdata([score for _, score in usable]) if usable else np.zeros(0)
    if len(usable) < FEWEST or len(spaces) < 2 or np.ptp(ranks) == 0:
        return None
    at = np.array([[_place(space, values) for space in spaces] for values, _ in usable])  # (trials, varying)
    bounds = [_bounds(space, at[:, i]) for i, space in enumerate(spaces)]
    rng = np.random.default_rng(0)
    with _silent():
        share = _fanova(at, ranks, bounds, TREES, 0)
        samples = [rng.integers(0, len(usable), len(usable)) for _ in range(resamples)]
        resampled = np.array(
            [_fanova(at[rows], ranks[rows], bounds, FEW_TREES, i) for i, rows in enumerate(samples)]
        )
        shuffled = np.array(
            [_fanova(at, rng.permutation(ranks), bounds, FEW_TREES, i) for i in range(shuffles)]
        )
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    chance = np.quantile(shuffled, 1 - UNLIKELY, axis=0)
    return {
        space.name: Share(
            value=float(share[i]),
            low=float(min(low[i], share[i])),
            high=float(max(high[i], share[i])),
            chance=float(chance[i]),
        )
        for i, space in enumerate(spaces)
    }


def matters(share: Share | None) -> bool:
    """Whether a hyperparameter explains more than nothing, and more than chance would let it."""
    if share is None:
        return False
    return (share.low or 0.0) > NOTHING and share.value > (share.chance or 0.0)


def varying(
    hyperparameters: Sequence[SearchedHyperparameter], trials: Sequence[Values]
) -> list[SearchedHyperparameter]:
    """The hyperparameters of which the trials have tried more than one value."""
    return [space for space in hyperparameters if len({same_value(value_of(space, v)) for v in trials}) > 1]


def value_of(space: SearchedHyperparameter, values: Values) -> Any:
    """A trial's value of a hyperparameter; if it has none, the default."""
    return values.get(space.name, space.default)


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
    shares = evaluator.evaluate(study)
    return np.array([shares[name] for name in spaces])


@contextmanager
def _silent() -> Iterator[None]:
    """Keep optuna from printing a line about every study."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _place(space: SearchedHyperparameter, values: Values) -> float:
    """A trial's place along a hyperparameter: in its own scale; of a choice its number."""
    value = value_of(space, values)
    if is_choice(space):
        return float(choices_of(space, [value]).index(same_value(value)))
    number = as_number(value)
    if number is None:
        return math.nan
    return math.log10(number) if _is_log(space) and number > 0 else number


def _bounds(space: SearchedHyperparameter, places: NDArray[np.float64]) -> tuple[float, float]:
    """The searched stretch, in the hyperparameter's scale; PBT's perturbations may have left it."""
    half = 0.5 if is_choice(space) or space.integer and not _is_log(space) else 0.0
    low, high = float(places.min()), float(places.max())
    if is_choice(space):
        low, high = min(low, 0.0), max(high, len(space.values or []) - 1.0)
    else:
        ends = [_place(space, {space.name: end}) for end in (space.low, space.high) if end is not None]
        low, high = min([low, *ends]), max([high, *ends])
    return low - half, high + half


def is_choice(space: SearchedHyperparameter) -> bool:
    """Whether a hyperparameter is one of a list, not somewhere between two ends."""
    return space.kind == "choice" or space.low is None


def choices_of(space: SearchedHyperparameter, more: Sequence[Any] = ()) -> list[str]:
    """The values of a choice as JSON, then `more`, each once."""
    return list(dict.fromkeys(same_value(value) for value in [*(space.values or []), *more]))


def _is_log(space: SearchedHyperparameter) -> bool:
    return space.scale == "log" and (space.low or 0.0) > 0


def same_value(value: Any) -> str:
    """What two equal values have in common: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
