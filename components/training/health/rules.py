"""Rules that recognise a failure of adversarial training from the history of its health metrics."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Vitals = Mapping[str, float]

Evidence = dict[str, float]

WARM_UP = 8  # looks before any rule but non_finite speaks: diseases look like beginnings

FIRST = 3  # looks that say where a training began

RECENT = 5  # looks over which a vital is smoothed

KEPT = 120  # looks that rules see

GONE = 10  # looks without evidence after which a disease that was told may be told again


class History:
    """The vitals of an attempt's looks so far, the older ones forgotten but for the first few.

    Medians, so that one outlier is none. Values that are absent are not a number, which no rule's comparison
    is true of.
    """

    def __init__(self, first: Sequence[Vitals] = (), last: Sequence[Vitals] = (), count: int = 0):
        self.first, self.last = [dict(look) for look in first], [dict(look) for look in last]
        self.count = count

    def add(self, vitals: Vitals) -> None:
        """Another look."""
        self.count += 1
        self.first = [*self.first, dict(vitals)][:FIRST]
        self.last = [*self.last, dict(vitals)][-KEPT:]

    def of(self, vital: str, looks: int = KEPT) -> list[float]:
        """The last values of a vital."""
        return finite(self.last, vital)[-looks:]

    def recent_level(self, vital: str) -> float:
        """Its level over the last looks."""
        return median(self.of(vital, RECENT))

    def early(self, vital: str) -> float:
        """Its level at first."""
        return median(finite(self.first, vital))


def finite(looks: Sequence[Vitals], vital: str) -> list[float]:
    """The values of a vital where it was known, and a number."""
    return [look[vital] for look in looks if math.isfinite(look.get(vital, math.nan))]


def levels(history: History, *vitals: str) -> Evidence:
    """The levels of those vitals that are known."""
    return {vital: history.recent_level(vital) for vital in vitals if history.of(vital)}


def spread(values: Sequence[float]) -> float:
    """The standard deviation that normal values with these quartiles have; an outlier does not move it."""
    low, _, high = statistics.quantiles(values)
    return (high - low) / 1.349


def median(values: Sequence[float]) -> float:
    """The median; not a number of nothing."""
    return statistics.median(values) if values else math.nan


def non_finite(history: History) -> Evidence | None:
    """A vital is not a number, or infinite."""
    return {vital: v for vital, v in history.last[-1].items() if not math.isfinite(v)} or None


# Times the first level; of healthy runs, weights double, losses grow sevenfold, gradients thirtyfold at most.
RUN_OFF = {
    **dict.fromkeys(("discriminator_weight_norm", "generator_weight_norm"), 20.0),
    **dict.fromkeys(
        ("discriminator_loss", "generator_loss", "discriminator_grad_norm", "generator_grad_norm"), 1000.0
    ),
}


def run_off(history: History) -> Evidence | None:
    """Weights, losses or gradients are orders of magnitude from where they began."""
    found = {
        vital: history.recent_level(vital)
        for vital, times in RUN_OFF.items()
        if abs(history.recent_level(vital)) > times * max(abs(history.early(vital)), 0.1)
    }
    return found or None


THROWN_LOSS = 10.0  # times its median before: far worse than guessing, on the mean between two looks

THROWN_WEIGHTS = 1.25  # times what they were before; healthy ones grow by a tenth, as a rule

THROWN_WITHIN = 12  # looks ago


def thrown(history: History) -> Evidence | None:
    """D's loss leapt, and since then its weights have stayed elsewhere: its steps are too large."""
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

STILL = 0.2  # movement in 50 steps; converged points 0.08, digits in healthy training 0.5, wandering points 1


def alike(history: History) -> Evidence | None:
    """The samples are hardly more diverse than one image, be it always another one."""
    return levels(history, "diversity", "sample_drift") if history.recent_level("diversity") < ALIKE else None


def few(history: History) -> Evidence | None:
    """The samples show a part of what images show."""
    return levels(history, "diversity", "sample_drift") if history.recent_level("diversity") < FEW else None


def few_and_still(history: History) -> Evidence | None:
    """As `few`, and they no longer move, so that waiting will not help."""
    return few(history) if history.recent_level("sample_drift") < STILL else None


SURE = 0.98  # auc; a discriminator that sees batches is as sure and teaches well, so this is not enough

FAINT = 0.05  # of the largest gradient so far


def vanishing_gradients(history: History) -> Evidence | None:
    """D is always right and G's gradient has all but gone. Arjovsky & Bottou 2017, Thm. 2.4."""
    auc, grad = history.recent_level("auc"), history.recent_level("generator_grad_norm")
    most = max(history.of("generator_grad_norm"), default=math.nan)
    if auc > SURE and grad < FAINT * most:
        return {"auc": auc, "generator_grad_norm": grad, "largest_grad_norm": most}
    return None


FOOLED = 0.4  # auc; healthy games stay above 0.46


def generator_too_strong(history: History) -> Evidence | None:
    """D takes samples for images more often than not: it lags behind G."""
    return levels(history, "auc", "discriminator_loss") if history.recent_level("auc") < FOOLED else None


SWING = 0.1  # of auc; healthy 0.01 to 0.06, absurd momenta 0.1 to 0.25

SWINGS = 12  # looks


def oscillation(history: History) -> Evidence | None:
    """D's advantage swings to and fro, and the samples move with it."""
    auc, moved = history.of("auc", SWINGS + 1), history.recent_level("sample_drift")
    if len(auc) <= SWINGS or moved < STILL / 2:
        return None
    # A trend spreads values, but not differences, which spread sqrt(2) times as far as independent values.
    to_and_fro = spread([b - a for a, b in itertools.pairwise(auc)]) / math.sqrt(2)
    swing = min(spread(auc), to_and_fro)
    return {"auc_swing": swing, **levels(history, "auc", "sample_drift")} if swing > SWING else None


@dataclass(frozen=True)
class Rule:
    """A disease, what gives it away, and for how many looks in a row it must."""

    disease: str
    sees: Callable[[History], Evidence | None]
    lasts: int
    sentence: str  # with the evidence by name


# The gravest first. Lengths are counted in looks and were set with one look in 50 steps.
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
    # Healthy games begin with all samples in one place, for up to 15 looks, and wander for up to 38.
    Rule("mode_collapse", alike, 22, "Samples are {diversity:.0%} as diverse as images."),
    Rule("mode_collapse", few_and_still, 10, "Samples stay {diversity:.0%} as diverse as images."),
    Rule("mode_collapse", few, 40, "Samples are still only {diversity:.0%} as diverse as images."),
    Rule("generator_too_strong", generator_too_strong, 10, "D is right about {auc:.1%} of pairs only."),
)
