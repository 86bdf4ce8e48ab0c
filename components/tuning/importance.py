"""The importance of a sweep's hyperparameters.

Hutter, Hoos & Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance,
https://proceedings.mlr.press/v32/hutter14.html: a forest is fitted to score(values); the importance
of a hyperparameter is the share of the forest's variance over the searched space that it explains alone.

We fit the ranks of scores, not the scores: otherwise a single collapsed trial would dominate the variance.
Lower scores are better. Pure functions of the trials: their seeds are fixed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from components.common.finite import as_number
from components.records.sweep import SearchedHyperparameter, Share
from components.records.trial import Trial, TrialState, Values

Scored = tuple[Values, float]  # the values of a trial and its score

FEWEST = 8  # trials with a score that a forest needs

BEST, FEWEST_BEST = 0.25, 3  # the best trials: a share of all, and a minimum number

TREES, FEW_TREES = 64, 16  # of the forest, and of the forests of resampled trials

DEPTH = 5  # of a tree: deeper ones fit the noise of trials, and take minutes with 200 of them

RESAMPLES = 40

NOTHING = 0.02  # a negligible share of the variance

UNLIKELY = 0.05  # significance level


def comparable_scores(trials: Sequence[Trial], rungs: Sequence[int]) -> list[Scored]:
    """Return the values of trials with comparable scores: those at the first rung, which all have reached.

    Without rungs, the scores are the final ones. Failed trials and trials that have not reached the rung are
    left out; collapsed ones get the worst score of the others. In a population, a trial that later continued
    from another counts with its original values.
    """
    scored = [(trial.original, _score(trial.original, rungs)) for trial in trials]
    comparable: list[Scored] = []
    for trial, score in scored:
        pair = (trial.values, score)
        # Equal values with an equal score are one training.
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
    shuffles: int | None = None,
) -> dict[str, Share] | None:
    """Return the share of the variance of trials' ranks that each hyperparameter explains alone.

    Args:
        hyperparameters: the searched hyperparameters.
        trials: values and comparable scores.
        resamples: number of bootstraps over trials, for the 95 % interval.
        shuffles: number of shuffles of the scores, for the largest share that chance explains; None: as many
            as its level of significance needs.

    Returns:
        The shares by name; None with too few trials, equal scores, or fewer than two hyperparameters that
        vary.
    """
    spaces = varying(hyperparameters, [values for values, score in trials if math.isfinite(score)])
    usable = [
        (values, score)
        for values, score in trials
        if math.isfinite(score) and all(math.isfinite(position(space, values)) for space in spaces)
    ]
    ranks = scipy.stats.rankdata([score for _, score in usable]) if usable else np.zeros(0)
    if len(usable) < FEWEST or len(spaces) < 2 or np.ptp(ranks) == 0:
        return None
    at = np.array(
        [[position(space, values) for space in spaces] for values, _ in usable]
    )  # (trials, varying)
    bounds = [_bounds(space, at[:, i]) for i, space in enumerate(spaces)]
    rng = np.random.default_rng(0)
    # Bonferroni: 5 % is the chance that any of the hyperparameters seems to matter. By chance, a share is
    # larger than those of N shuffles once in N + 1 times.
    shuffles = math.ceil(len(spaces) / UNLIKELY) if shuffles is None else shuffles
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
    chance = shuffled.max(axis=0)
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
    """Return whether a hyperparameter's share is neither negligible nor explained by chance."""
    if share is None:
        return False
    return (share.low or 0.0) > NOTHING and share.value > (share.chance or 0.0)


def varying(
    hyperparameters: Sequence[SearchedHyperparameter], trials: Sequence[Values]
) -> list[SearchedHyperparameter]:
    """Return the hyperparameters with more than one value among the trials."""
    return [space for space in hyperparameters if len({same_value(value_of(space, v)) for v in trials}) > 1]


def value_of(space: SearchedHyperparameter, values: Values) -> Any:
    """Return a trial's value of a hyperparameter; the default if it has none."""
    return values.get(space.name, space.default)


def _fanova(
    at: NDArray[np.float64],
    ranks: NDArray[np.float64],
    bounds: Sequence[tuple[float, float]],
    trees: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return the importance of each column of `at`; zeros if all ranks are the same."""
    import optuna

    if np.ptp(ranks) == 0:
        return np.zeros(at.shape[1])
    # Every column is an interval in its own scale: optuna would integrate a logarithmic range as a linear
    # one, and choices over the corners of a cube, most of which are no choice.
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


def position(space: SearchedHyperparameter, values: Values) -> float:
    """Return a trial's position along a hyperparameter, in its scale; for a choice, its index."""
    value = value_of(space, values)
    if is_choice(space):
        return float(choices_of(space, [value]).index(same_value(value)))
    number = as_number(value)
    if number is None:
        return math.nan
    return math.log10(number) if _is_log(space) and number > 0 else number


def _bounds(space: SearchedHyperparameter, positions: NDArray[np.float64]) -> tuple[float, float]:
    """Return the searched interval in the hyperparameter's scale, extended to PBT's perturbations."""
    half = 0.5 if is_choice(space) or space.integer and not _is_log(space) else 0.0
    low, high = float(positions.min()), float(positions.max())
    if is_choice(space):
        low, high = min(low, 0.0), max(high, len(space.values or []) - 1.0)
    else:
        ends = [position(space, {space.name: end}) for end in (space.low, space.high) if end is not None]
        low, high = min([low, *ends]), max([high, *ends])
    return low - half, high + half


def is_choice(space: SearchedHyperparameter) -> bool:
    """Return whether a hyperparameter has a list of values rather than a range."""
    return space.kind == "choice" or space.low is None


def choices_of(space: SearchedHyperparameter, more: Sequence[Any] = ()) -> list[str]:
    """Return the values of a choice as JSON, then `more`, each once."""
    return list(dict.fromkeys(same_value(value) for value in [*(space.values or []), *more]))


def _is_log(space: SearchedHyperparameter) -> bool:
    return space.scale == "log" and (space.low or 0.0) > 0


def same_value(value: Any) -> str:
    """Return a text that is equal for equal values: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
