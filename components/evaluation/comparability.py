"""Decide whether metrics may be compared: only those with the same recipe.

A metric carries its recipe: metric, extractor, data, split, counts, preparation, rounding, seeds. Its
comparability key is the hash of the recipe. Leaderboard, gate and sweep rank through this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.common.errors import InputError
from components.common.hashing import json_sha256
from components.records.evaluation import MetricResult

# The origin of images, part of the recipe: sampled here or vouched for by the user; unknown.
INDEPENDENT = "one independent seed an image, none of them used to select"
AS_GIVEN = "as given: nothing is known of how the images came about"

MIN_IMAGES = 8  # that can be evaluated

WORDS = {
    "metric": "measure",
    "data_set": "data set",
    "data": "version of the data",
    "split": "split",
    "extractor": "extractor",
    "extractor_hash": "weights or preparation of the extractor",
    "n": "number of images",
    "n_real": "number of real images",
    "reference_images": "largest number of images of a split in the reference",
    "preparation": "preparation of the images",
    "resize": "resize",
    "rounding": "rounding",
    "chunk": "chunk of images computed at once",
    "seeds": "seeds",
}
UNREADABLE = {"data", "extractor_hash"}  # hashes, left out of sentences


def check_count(n: int) -> None:
    """Raise InputError if there are too few images to evaluate."""
    if n < MIN_IMAGES:
        raise InputError(f"only {n} images to evaluate; at least {MIN_IMAGES} are needed")


def other_split(split: str) -> str:
    """Return the split whose real images give the baselines of `split`."""
    return "test" if split == "train" else "train"


def key(recipe: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that are equal for two metrics exactly if they may be compared."""
    return json_sha256(recipe)[:16]


def difference(a: MetricResult, b: MetricResult) -> str | None:
    """Return the reason why `a` may not be compared with `b`; None if it may."""
    if a.comparability == b.comparability:
        return None
    # Records without a recipe have some of its fields next to the value.
    first, second = (a.recipe, b.recipe) if a.recipe and b.recipe else (vars(a), vars(b))
    names = [name for name in {**WORDS, **first, **second} if first.get(name) != second.get(name)]
    if "extractor" in names:  # its weights then differ too
        names = [name for name in names if name not in ("extractor_hash", "resize")]
    if "data_set" in names:
        names = [name for name in names if name != "data"]
    reasons = [_reason(name, first.get(name), second.get(name)) for name in names if name in WORDS]
    return "; ".join(reasons) or "measured by a different recipe or against other data"


def _reason(name: str, value: Any, other: Any) -> str:
    if name in UNREADABLE:
        return f"different {WORDS[name]}"
    return f"different {WORDS[name]} ({_written(value)}, not {_written(other)})"


def _written(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value if value is not None else "none")


def ranked(metrics: Mapping[str, MetricResult]) -> list[str]:
    """Return the owners of `metrics`, one value each of the same metric, best first.

    Raises:
        InputError: two of them may not be compared.
    """
    owners = list(metrics)
    for owner in owners[1:]:
        if reason := difference(metrics[owner], metrics[owners[0]]):
            raise InputError(
                f"{owner} cannot be ranked with {owners[0]}: {reason}; evaluate both with the same recipe"
            )
    sign = -1 if owners and metrics[owners[0]].better == "higher" else 1
    return sorted(owners, key=lambda owner: sign * metrics[owner].value)
