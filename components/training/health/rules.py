"""Rules that detect failures of adversarial training in the history of its health metrics."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Vitals = Mapping[str, float]

Evidence = dict[str, float]

WARM_UP = 8  # checks before rules other than non_finite apply: the start of training looks like a disease

FIRST = 3  # checks for the early level of a metric

RECENT = 5  # checks for the recent level of a metric

HISTORY_CHECKS = 120  # that rules can use

GONE = 10  # checks without evidence after which a disease may be reported again


class History:
    """The metrics of an attempt's first and last checks.

    Levels are medians, so that single outliers have no effect. The level of an absent metric is NaN, for
    which all comparisons of the rules are false.
    """

    def __init__(self, first: Sequence[Vitals] = (), last: Sequence[Vitals] = (), count: int = 0):
        self.first, self.last = [dict(check) for check in first], [dict(check) for check in last]
        self.count = count

    def add(self, metrics: Vitals) -> None:
        """Add a check."""
        self.count += 1
        self.first = [*self.first, dict(metrics)][:FIRST]
        self.last = [*self.last, dict(metrics)][-HISTORY_CHECKS:]

    def of(self, metric: str, checks: int = HISTORY_CHECKS) -> list[float]:
        """Return the last finite values of a metric."""
        return finite(self.last, metric)[-checks:]

    def recent_level(self, metric: str) -> float:
        """Return the median of a metric over the last checks."""
        return median(self.of(metric, RECENT))

    def early(self, metric: str) -> float:
        """Return the median of a metric over the first checks."""
        return median(finite(self.first, metric))


def finite(checks: Sequence[Vitals], metric: str) -> list[float]:
    """Return the finite values of a metric."""
    return [check[metric] for check in checks if math.isfinite(check.get(metric, math.nan))]


def levels(history: History, *metrics: str) -> Evidence:
    """Return the recent levels of the metrics that have values."""
    return {metric: history.recent_level(metric) for metric in metrics if history.of(metric)}


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of a normal distribution with the same quartiles; robust to outliers."""
    low, _, high = statistics.quantiles(values)
    return (high - low) / 1.349


def median(values: Sequence[float]) -> float:
    """Return the median; NaN without values."""
    return statistics.median(values) if values else math.nan


def non_finite(history: History) -> Evidence | None:
    """A metric is NaN or infinite."""
    return {metric: value for metric, value in history.last[-1].items() if not math.isfinite(value)} or None


# Times the early level; in healthy runs weights double, losses grow sevenfold, gradients thirtyfold at most.
RUN_OFF = {
    **dict.fromkeys(("discriminator_weight_norm", "generator_weight_norm"), 20.0),
    **dict.fromkeys(
        ("discriminator_loss", "generator_loss", "discriminator_grad_norm", "generator_grad_norm"), 1000.0
    ),
}


def run_off(history: History) -> Evidence | None:
    """Weights, losses or gradients are orders of magnitude from their early levels."""
    evidence = {
        metric: history.recent_level(metric)
        for metric, times in RUN_OFF.items()
        if abs(history.recent_level(metric)) > times * max(abs(history.early(metric)), 0.1)
    }
    return evidence or None


THROWN_LOSS = 10.0  # times its median before: far worse than guessing, in the mean between two checks

THROWN_WEIGHTS = 1.25  # times the norm before; healthy weights usually grow by a tenth

THROWN_WITHIN = 12  # checks ago


def thrown(history: History) -> Evidence | None:
    """D's loss leapt, and its weight norm has grown since: its steps are too large."""
    losses, weights = history.of("discriminator_loss"), history.of("discriminator_weight_norm")
    late = losses[-THROWN_WITHIN:]
    if len(losses) != len(weights) or len(losses) < 2 * THROWN_WITHIN:
        return None
    leap = len(losses) - len(late) + max(range(len(late)), key=late.__getitem__)
    usual = abs(median(losses[:leap]))
    grown = weights[-1] / weights[leap - 2]
    if losses[leap] > THROWN_LOSS * max(usual, 0.02) and grown > THROWN_WEIGHTS:
        return {"discriminator_loss": losses[leap], "usual_loss": usual, "weight_growth": grown}
    return None


ALIKE, FEW = 0.2, 0.6  # diversity: one mode of eight gives 0.15, half of them 0.56, all but one 0.93

STILL = 0.2  # drift in 50 steps; converged points 0.08, digits in healthy training 0.5, wandering points 1


def alike(history: History) -> Evidence | None:
    """The samples are hardly more diverse than copies of one image."""
    return levels(history, "diversity", "sample_drift") if history.recent_level("diversity") < ALIKE else None


def few(history: History) -> Evidence | None:
    """The samples cover only a part of the modes of the images."""
    return levels(history, "diversity", "sample_drift") if history.recent_level("diversity") < FEW else None


def few_and_still(history: History) -> Evidence | None:
    """As `few`, and the samples no longer move, so waiting will not help."""
    return few(history) if history.recent_level("sample_drift") < STILL else None


SURE = 0.98  # auc; not sufficient: a discriminator that sees whole batches reaches it in healthy training

FAINT = 0.05  # of the largest gradient so far


def vanishing_gradients(history: History) -> Evidence | None:
    """D is always right and G's gradient has almost vanished. Arjovsky & Bottou 2017, Thm. 2.4."""
    auc, grad = history.recent_level("auc"), history.recent_level("generator_grad_norm")
    largest = max(history.of("generator_grad_norm"), default=math.nan)
    if auc > SURE and grad < FAINT * largest:
        return {"auc": auc, "generator_grad_norm": grad, "largest_grad_norm": largest}
    return None


FOOLED = 0.4  # auc; healthy games stay above 0.46


def generator_too_strong(history: History) -> Evidence | None:
    """D ranks samples above images more often than not: it lags behind G."""
    return levels(history, "auc", "discriminator_loss") if history.recent_level("auc") < FOOLED else None


SWING = 0.1  # of auc; healthy 0.01 to 0.06, absurd momenta 0.1 to 0.25

SWINGS = 12  # checks


def oscillation(history: History) -> Evidence | None:
    """D's advantage oscillates, and the samples move with it."""
    auc, drift = history.of("auc", SWINGS + 1), history.recent_level("sample_drift")
    if len(auc) <= SWINGS or drift < STILL / 2:
        return None
    # A trend spreads the values but not their differences, which spread sqrt(2) times as far as the values if
    # these are independent.
    without_trend = spread([b - a for a, b in itertools.pairwise(auc)]) / math.sqrt(2)
    swing = min(spread(auc), without_trend)
    return {"auc_swing": swing, **levels(history, "auc", "sample_drift")} if swing > SWING else None


@dataclass(frozen=True)
class Rule:
    """A disease with the test for its evidence and the number of checks in a row that need evidence."""

    disease: str
    sees: Callable[[History], Evidence | None]
    lasts: int  # checks
    sentence: str  # format string with the names of the evidence


# The gravest first. Numbers of checks were tuned with one check in 50 steps.
RULES = (
    Rule("non_finite", non_finite, 1, "No longer finite: {all}."),
    Rule("divergence", run_off, 5, "Orders of magnitude from where they began: {all}."),
    Rule(
        "divergence",
        thrown,
        4,
        "D's loss leapt from {usual_loss:.3g} to {discriminator_loss:.3g}, and its weights are "
        "{weight_growth:.2g} times what they were.",
    ),
    Rule(
        "vanishing_gradients",
        vanishing_gradients,
        8,
        "D is right about {auc:.1%} of pairs; G's gradient fell from {largest_grad_norm:.2g} to "
        "{generator_grad_norm:.2g}.",
    ),
    Rule(
        "oscillation",
        oscillation,
        9,
        "The share of pairs that D is right about swings by {auc_swing:.2f} around {auc:.2f}.",
    ),
    # Healthy trainings begin with identical samples for up to 15 checks, and with few modes for up to 38.
    Rule("mode_collapse", alike, 22, "Samples are {diversity:.0%} as diverse as images."),
    Rule("mode_collapse", few_and_still, 10, "Samples stay {diversity:.0%} as diverse as images."),
    Rule("mode_collapse", few, 40, "Samples are still only {diversity:.0%} as diverse as images."),
    Rule("generator_too_strong", generator_too_strong, 10, "D is right about {auc:.1%} of pairs only."),
)
