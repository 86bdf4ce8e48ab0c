"""Recommended ranges for the next sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import hypergeom

from components.common.finite import as_number, is_number
from components.tuning.importance import (
    BEST,
    FEWEST,
    FEWEST_BEST,
    UNLIKELY,
    Importance,
    Scored,
    Values,
    choices_of,
    importances,
    is_choice,
    matters,
    same_value,
    varying,
)


def recommendations(
    hyperparameters: Sequence[Mapping[str, Any]],
    trials: Sequence[Scored],
    importance: Importance | None = None,
) -> list[dict[str, Any]]:
    """What the best quarter of trials says of each value that is recommended, or else the default.

    Args:
        hyperparameters: as `importances` has them, with recommended and source.
        trials: values and comparable scores.
        importance: what `importances` found; computed where it is not given.

    Returns:
        a row for each hyperparameter: name, recommended, source, best_low and best_high (of a range), shares
        (of a choice: each value, how many of the best trials have it, and how many of all), the verdict
        "within", "outside" or "undecided", and says, a sentence.
    """
    kept = sorted(((v, s) for v, s in trials if is_number(s)), key=lambda pair: pair[1])
    found = importances(hyperparameters, kept) if importance is None else importance
    best = [values for values, _ in kept[: max(FEWEST_BEST, math.ceil(BEST * len(kept)))]]
    every = [values for values, _ in kept]
    names = [space["name"] for space in varying(hyperparameters, every)]
    told = len(kept) >= FEWEST and kept[0][1] < kept[-1][1]
    alone = len(names) == 1  # then all there is to explain is explained by it
    rows = []
    for space in hyperparameters:
        wanted, word = _wanted(space)
        if word is None:
            continue
        name = space["name"]
        why = (
            "too few trials to tell"
            if not told
            else "no other value was tried"
            if name not in names
            else "no more depends on it than chance would show"
            if not alone and not matters((found or {}).get(name))
            else ""
        )
        say = _of_choice if is_choice(space) else _of_range
        rows.append(
            {
                "name": name,
                "recommended": wanted,
                "source": space.get("source"),
                "best_low": None,
                "best_high": None,
                **say(space, wanted, word, best, every, why),
            }
        )
    return rows


def _wanted(space: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The value to judge, and what is said of it."""
    if space.get("recommended") is not None:
        return space["recommended"], "recommended"
    if "default" in space and (space["default"] is not None or is_choice(space)):
        return space["default"], "by default"
    return None, None


def _of_range(
    space: Mapping[str, Any],
    wanted: Any,
    word: str,
    best: Sequence[Values],
    every: Sequence[Values],
    why: str,
) -> dict[str, Any]:
    values = [as_number(values.get(space["name"], space.get("default"))) for values in best]
    known, number = [value for value in values if value is not None], as_number(wanted)
    head = f"{written(wanted)} {word}"
    if not known or number is None:
        return {"verdict": "undecided", "says": f"{head}; no trial has been judged yet"}
    low, high = min(known), max(known)
    ends = {"best_low": low, "best_high": high}
    reach = written(low) if low == high else f"{written(low)} to {written(high)}"
    searched = [as_number(space.get(end)) for end in ("low", "high")]
    if not why and searched[0] is not None and searched[1] is not None:
        why = "" if searched[0] <= number <= searched[1] else "it was not among what was searched"
    said = f"{head}; best {reach} on this data"
    if why:
        return ends | {"verdict": "undecided", "says": f"{said}, {why}"}
    return ends | {"verdict": "within" if low <= number <= high else "outside", "says": said}


def _of_choice(
    space: Mapping[str, Any],
    wanted: Any,
    word: str,
    best: Sequence[Values],
    every: Sequence[Values],
    why: str,
) -> dict[str, Any]:
    """A choice is outside where so few of the best trials have it that chance would seldom do that."""
    mine = [same_value(values.get(space["name"], space.get("default"))) for values in best]
    all_of_them = [same_value(values.get(space["name"], space.get("default"))) for values in every]
    shares = [
        [json.loads(value), mine.count(value), all_of_them.count(value)]
        for value in choices_of(space, [json.loads(value) for value in all_of_them])
    ]
    has, of_all = mine.count(same_value(wanted)), all_of_them.count(same_value(wanted))
    head = f"{written(wanted)} {word}"
    if not every:
        return {"verdict": "undecided", "says": f"{head}; no trial has been judged yet", "shares": shares}
    said = f"{head}; {has} of the best {len(best)} trials on this data have it, {of_all} of all {len(every)}"
    if not why and of_all == 0:
        why = "it was not among what was searched"
    if why:
        return {"verdict": "undecided", "says": f"{said}, {why}", "shares": shares}
    seldom = float(hypergeom.cdf(has, len(every), of_all, len(best))) < UNLIKELY
    often = has / len(best) >= of_all / len(every)
    verdict = "within" if often else "outside" if seldom else "undecided"
    if verdict == "undecided":
        said += ", which chance may do"
    return {"verdict": verdict, "says": said, "shares": shares}


def written(value: Any) -> str:
    """A value as people write it in a config: 2e-4, 0.5, hinge, true."""
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
