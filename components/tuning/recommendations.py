"""Recommended ranges for the next sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import scipy

from components.common.finite import as_number
from components.records.sweep import ChoiceCount, Recommendation, SearchedHyperparameter, Share
from components.records.trial import Values
from components.tuning.importance import (
    BEST,
    FEWEST,
    FEWEST_BEST,
    UNLIKELY,
    Scored,
    choices_of,
    importances,
    is_choice,
    matters,
    position,
    same_value,
    value_of,
    varying,
)


def recommendations(
    hyperparameters: Sequence[SearchedHyperparameter],
    trials: Sequence[Scored],
    importance: Mapping[str, Share] | None = None,
) -> list[Recommendation]:
    """Return for each hyperparameter whether the best quarter of trials supports the recommended value.

    Without a recommendation, the default is checked.

    Args:
        hyperparameters: the searched hyperparameters.
        trials: values and comparable scores.
        importance: shares by name, as `importances` returns them; None: computed now.
    """
    ranked = sorted((pair for pair in trials if math.isfinite(pair[1])), key=lambda pair: pair[1])
    shares = (importances(hyperparameters, ranked) if importance is None else importance) or {}
    values = [values for values, _ in ranked]
    best = values[: max(FEWEST_BEST, math.ceil(BEST * len(values)))]
    varied = [space.name for space in varying(hyperparameters, values)]
    enough = len(ranked) >= FEWEST and ranked[0][1] < ranked[-1][1]

    def obstacle(name: str) -> str:
        """Return why the trials allow no conclusion about a hyperparameter; empty if they do."""
        if not enough:
            return "too few trials for a conclusion"
        if name not in varied:
            return "no other value was tried"
        if len(varied) > 1 and not matters(shares.get(name)):  # a single one explains everything
            return "its importance is within chance"
        return ""

    questions = [
        Question(space, value, word, best, values, obstacle(space.name))
        for space in hyperparameters
        for value, word in [_value_to_check(space)]
        if word
    ]
    return [_of_choice(q) if is_choice(q.space) else _of_range(q) for q in questions]


@dataclass(frozen=True)
class Question:
    """A value of a hyperparameter to compare with those of the best trials."""

    space: SearchedHyperparameter
    value: Any  # the recommended value, or the default
    word: str  # names which of the two it is
    best: Sequence[Values]
    trials: Sequence[Values]
    obstacle: str  # why there is no answer; empty if there is one

    def answer(self, verdict: str, text: str, **more: Any) -> Recommendation:
        """Return the recommendation with a verdict and its sentence."""
        return Recommendation(
            name=self.space.name,
            recommended=self.value,
            source=self.space.source,
            verdict=verdict,
            says=f"{written(self.value)} {self.word}; {text}",
            **more,
        )


def _value_to_check(space: SearchedHyperparameter) -> tuple[Any, str]:
    """Return the value to check and the word for it; the word is empty if there is no value."""
    if space.recommended is not None:
        return space.recommended, "recommended"
    if space.default is not None or is_choice(space):
        return space.default, "by default"
    return None, ""


def _of_range(question: Question) -> Recommendation:
    """Return the answer for a range: "outside" if the best trials are significantly far from the value."""
    space, why = question.space, question.obstacle
    values = [as_number(value_of(space, values)) for values in question.best]
    numbers, number = [value for value in values if value is not None], as_number(question.value)
    if not numbers or number is None:
        return question.answer("undecided", "no trial has been evaluated yet")
    low, high = min(numbers), max(numbers)
    reach = written(low) if low == high else f"{written(low)} to {written(high)}"
    if not why and space.low is not None and space.high is not None and not space.low <= number <= space.high:
        why = "it was not among the searched values"
    verdict = "undecided" if why else "within" if low <= number <= high else "outside"
    if verdict == "outside" and not _is_far(question):
        verdict, why = "undecided", "which is within chance"
    text = f"best {reach} on this data{f', {why}' if why else ''}"
    return question.answer(verdict, text, best_low=low, best_high=high)


def _is_far(question: Question) -> bool:
    """Return whether significantly few of the trials near the value are among the best: none of the nearest.

    How many are nearest depends on the numbers of trials alone: the fewest for which this is significant.
    """
    space = question.space

    def distances(trials: Sequence[Values]) -> list[float]:
        positions = [position(space, values) for values in trials]
        return [abs(at - position(space, {space.name: question.value})) for at in positions if at == at]

    best, every = distances(question.best), sorted(distances(question.trials))
    for nearest in range(1, len(every) - len(best) + 1):
        if float(scipy.stats.hypergeom.pmf(0, len(every), nearest, len(best))) < UNLIKELY:
            return min(best) > every[nearest - 1]
    return False


def _of_choice(question: Question) -> Recommendation:
    """Return the answer for a choice: "outside" if significantly few of the best trials have it."""
    space, best, why = question.space, question.best, question.obstacle
    of_best = [same_value(value_of(space, values)) for values in best]
    of_all = [same_value(value_of(space, values)) for values in question.trials]
    shares = [
        ChoiceCount(value=json.loads(value), best=of_best.count(value), trials=of_all.count(value))
        for value in choices_of(space, [json.loads(value) for value in of_all])
    ]
    if not of_all:
        return question.answer("undecided", "no trial has been evaluated yet", shares=shares)
    in_best, in_all = (values.count(same_value(question.value)) for values in (of_best, of_all))
    text = f"{in_best} of the best {len(best)} trials on this data have it, {in_all} of all {len(of_all)}"
    if not why and in_all == 0:
        why = "it was not among the searched values"
    if why:
        return question.answer("undecided", f"{text}, {why}", shares=shares)
    if in_best / len(best) >= in_all / len(of_all):
        return question.answer("within", text, shares=shares)
    if float(scipy.stats.hypergeom.cdf(in_best, len(of_all), in_all, len(best))) < UNLIKELY:
        return question.answer("outside", text, shares=shares)
    return question.answer("undecided", f"{text}, which is within chance", shares=shares)


def written(value: Any) -> str:
    """Return a value as written in a config: 2e-4, 0.5, hinge, true."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float) and math.isfinite(value) and value:
        if not 1e-2 <= abs(value) < 1e5:
            digits, power = f"{value:.1e}".split("e")
            return f"{digits.removesuffix('.0')}e{int(power)}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return ", ".join(written(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
