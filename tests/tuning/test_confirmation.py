"""Whether the winner beats the default on fresh seeds."""

from __future__ import annotations

import pytest

from components.common.errors import RunError
from components.pipeline.confirmation import compared, differences
from components.records.evaluation import MetricResult
from components.records.sweep import SideFailure
from components.tuning import confirmation
from components.tuning.confirmation import Pair, compare_pairs, interval


def test_intervals_are_students() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert mean == 2.0 and (low, high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), rel=1e-3)
    assert interval([1.0]) == (1.0, None, None)


def pairs(*differences: float) -> list[Pair]:
    return [Pair(i, winner=5.0 + i + d, default=5.0 + i) for i, d in enumerate(differences)]


def test_a_gain_is_one_where_chance_does_not_explain_it() -> None:
    result = compare_pairs("kid", pairs(-1.0, -1.1, -0.9), n=100, split="test", real_baseline=0.1)
    assert result.says == "better" and result.difference.value == pytest.approx(-1.0)
    assert compare_pairs("kid", pairs(-1.0, 1.1, -0.3)).says == "no significant gain"
    assert compare_pairs("kid", pairs(1.0, 1.1, 0.9)).says == "worse"
    assert compare_pairs("kid", pairs(0.0, 0.0)).says == "the winner has the config's own settings"
    assert compare_pairs("kid", pairs(-1.0)).says == "one seed gives no interval"
    assert result.seeds == [0, 1, 2] and result.n == 100


@pytest.mark.parametrize(
    ("result", "says"),
    [((-1.0, -1.1, -0.9), "better"), ((1.0, 1.1, 0.9), "worse"), ((1.0, -1.1), "no significant gain")],
)
def test_a_verdict_on_sampling_settings_holds_for_one_model(result: tuple[float, ...], says: str) -> None:
    """The seeds are of the samples' noise: nothing is known of another training."""
    assert compare_pairs("kid", pairs(*result), of="sampling").says == f"{says} for this model"
    assert compare_pairs("kid", pairs(*result), of="training").says == says
    metrics = {
        seed: {
            side: {"kid": MetricResult(value=value, n=64, real_baseline=0.5)}
            for side, value in zip(confirmation.SIDES, (5.0 + d, 5.0), strict=True)
        }
        for seed, d in enumerate(result)
    }
    assert differences(metrics, of="sampling").says == f"{says} for this model"


def test_a_winner_that_fails_on_fresh_seeds_is_told() -> None:
    judged = {
        (side, seed): {"kid": MetricResult(value=1.0 + (side == "winner"), n=64, real_baseline=0.5)}
        for seed in (0, 1)
        for side in confirmation.SIDES
    }
    assert compared(judged).winner == [2.0, 2.0]
    result = compared(judged | {("winner", 1): "loss is nan"})
    assert result.seeds == [0] and result.says == "the winner failed on 1 of 2 seeds"
    assert result.failed == [SideFailure(side="winner", seed=1, reason="loss is nan")]
    with pytest.raises(RunError, match="did not both complete training on any seed: loss is nan"):
        compared(judged | {("winner", 1): "loss is nan", ("default", 0): "loss is nan"})
