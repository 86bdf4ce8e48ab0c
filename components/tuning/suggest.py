"""Values for trials: random, on a grid, or suggested by Optuna.

Random values and grids are made here and not by Optuna's samplers, whose choices depend on the trials before:
value i depends on the seed and i alone, so that a longer or continued sweep begins with the same trials.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.common.seeds import derive
from components.config.sweep import Sweep
from components.records.trial import Values
from components.tuning.space import Hyperparameter
from models.search_space import Range


def labels(hyperparameters: Sequence[Hyperparameter]) -> Mapping[str, Mapping[str, Any]]:
    """Return the values of choices by label: searchers take only plain values, not lists such as widths."""
    choices = {
        h.name: (*h.space.values, h.default) for h in hyperparameters if not isinstance(h.space, Range)
    }
    return {name: {label_of(value): value for value in values} for name, values in choices.items()}


def label_of(value: Any) -> Any:
    """Return a value if it is plain, else its JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def domain(hyperparameter: Hyperparameter) -> Any:
    """Return the space of a hyperparameter as a domain of Tune; upper ends are included."""
    from ray import tune  # Ray reads its environment when imported, and `connect` sets it

    space = hyperparameter.space
    if not isinstance(space, Range):
        return tune.choice([label_of(value) for value in space.values])
    if hyperparameter.integer:
        low, high = int(space.low), int(space.high) + 1
        return tune.lograndint(low, high) if space.scale == "log" else tune.randint(low, high)
    return (tune.loguniform if space.scale == "log" else tune.uniform)(space.low, space.high)


def suggestions(
    hyperparameters: Sequence[Hyperparameter], settings: Sweep, before: Sequence[Values] = ()
) -> Sequence[Values]:
    """Return the values to try, as far as they are known beforehand; the same for the same seed.

    Args:
        hyperparameters: the searched hyperparameters.
        settings: settings of the sweep.
        before: the suggestions of an interrupted sweep; an adaptive searcher begins with them.
    """
    default = {h.name: label_of(h.default) for h in hyperparameters}
    if settings.searcher == "grid":
        axes = [_points(h, settings.grid_points) for h in hyperparameters]
        names = [h.name for h in hyperparameters]
        grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]
        first = [default] if default in grid else []  # if not a grid point, it would displace one
        return (first + [point for point in grid if point != default])[: settings.trials]
    if settings.searcher == "optuna":
        return [dict(values) for values in before] or [default]
    # PBT cannot perturb a value outside its range.
    begins_with_default = settings.scheduler != "pbt" or _inside(default, hyperparameters)
    points: list[Values] = [default] if begins_with_default else []
    draws = 0
    while len(points) < settings.trials and draws < 100 * settings.trials:
        draws += 1
        seed = derive(settings.seed, "suggestion", draws) % 2**32
        state = np.random.RandomState(seed)
        point = {h.name: plain_values(domain(h).sample(random_state=state)) for h in hyperparameters}
        if point not in points:
            points.append(point)
    return points


def _points(hyperparameter: Hyperparameter, n: int) -> list[Any]:
    """Return the points of a grid: all values of a choice, or `n` of a range, evenly spaced in its scale."""
    space = hyperparameter.space
    if not isinstance(space, Range):
        return [label_of(value) for value in space.values]
    spaced = np.geomspace if space.scale == "log" else np.linspace
    values = [float(f"{value:.12g}") for value in spaced(space.low, space.high, n)]
    return list(dict.fromkeys(round(v) for v in values)) if hyperparameter.integer else values


def plain_values(value: Any) -> Any:
    """Return a numpy scalar as a Python number."""
    return value.item() if isinstance(value, np.generic) else value


def searcher(
    hyperparameters: Sequence[Hyperparameter],
    settings: Sweep,
    points: Sequence[Values],
    most: int,
    resumed: bool = False,
) -> Any:
    """Return the searcher for at most `most` trials at once: a list, or Optuna's Parzen estimators."""
    if settings.scheduler == "pbt":
        most = 0  # no limit: trials that wait for others count too
    if settings.searcher != "optuna":
        from ray.tune.search import BasicVariantGenerator

        return BasicVariantGenerator(
            [dict(point) for point in points], max_concurrent=most, random_state=settings.seed
        )
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = OptunaSearch.convert_search_space({h.name: domain(h) for h in hyperparameters})
    goal: dict[str, Any] = {"metric": "score", "mode": "min"}
    if settings.cost:
        goal = {"metric": ["score", "cost"], "mode": ["min", "min"]}
    inside = [dict(point) for point in points if _inside(point, hyperparameters)]
    # Earlier suggestions are repeated without drawing; the same seed would then draw them again.
    seed = derive(settings.seed, "resumed", len(points)) % 2**32 if resumed else settings.seed
    return OptunaSearch(space, points_to_evaluate=inside, seed=seed, **goal)


def _inside(point: Values, hyperparameters: Sequence[Hyperparameter]) -> bool:
    """Return whether values lie in their spaces; the experiment's own settings need not."""
    for h in hyperparameters:
        value = point[h.name]
        if isinstance(h.space, Range):
            if value is None or not h.space.low <= value <= h.space.high:
                return False
        elif value not in [label_of(v) for v in h.space.values]:
            return False
    return True
