"""What selects through training, on validation images."""

from __future__ import annotations

import numpy as np
import pytest

from components.data.dataset import open_split
from components.evaluation.snapshot import SnapshotEvaluator
from components.store import Store


def test_what_has_targets_is_judged_by_its_errors(with_digits: Store) -> None:
    reference, extractor = (with_digits.local_copy(p) for p in ("reference", "reference/extractor"))
    targets = open_split(with_digits.local_copy("prepared/data"), "validation").images[:64]
    images = np.where(targets < 128, targets + 51, targets).astype(np.uint8)
    wrong = float((targets < 128).mean())
    result = SnapshotEvaluator(reference, extractor, 64, targets)(images)
    assert result["mse"] == pytest.approx(0.04 * wrong) and result["mae"] == pytest.approx(0.2 * wrong)
    assert result["score"] == result["mse"]
    as_set = SnapshotEvaluator(reference, extractor, 64, targets, as_set=True)(images)
    assert as_set["score"] == as_set["kid"] and as_set["mse"] == result["mse"]
    free = SnapshotEvaluator(reference, extractor, 64)(images)
    assert free.keys() == {"score", "kid", "frechet_distance", "diversity"} and free["score"] == free["kid"]
