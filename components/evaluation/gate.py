"""Judge a challenger against the champion: pure functions of their metrics and of the training's diagnoses.

A rule returns a reason, which passed, failed or does not apply. A result is BLESSED if no rule failed.

The noise of the gain, the difference of both values of the metric that ranks, has these variances:
* of the choice of images: each side's, from its 95 % interval. Both sides are compared with the same real
  images, which correlates them, so their sum overstates it;
* of the training seed: the sample variance of each side's values over trainings that differ only in their
  seed, where there are several.
Its 95 % interval uses Student's t with the degrees of freedom of Welch and Satterthwaite: those of the image
variance are infinite, and those of a seed variance one less than its trainings.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import scipy

from components.common.ranking import DISTANCES, rank_by
from components.config.gate import Gate
from components.evaluation.comparability import difference
from components.records.evaluation import MetricResult, Metrics
from components.records.gate import Margin, Reason, Verdict
from components.records.health import HealthEvent

Z_QUANTILE = 1.96  # of the intervals of metrics, which are normal

COLLAPSING = ("precision", "recall")

LABELS = {"fid": "FID", "kid": "KID", "frechet_distance": "Fréchet distance", "mse": "MSE"}


@dataclass(frozen=True)
class Contender:
    """A result that is judged, or the one that it is judged against.

    Attributes:
        name: in sentences, such as "champion 3 (RUN/vae)".
        metrics: by name.
        seed_values: the ranking metric's value of this training and those that differ only in their seed.
    """

    name: str
    metrics: Metrics
    seed_values: Sequence[float] = ()


def judge(
    challenger: Contender,
    champion: Contender | None,
    limits: Gate,
    *,
    events: Sequence[HealthEvent] = (),
    exported_step: int | None = None,
    decided: str | None = None,
) -> tuple[Verdict, Margin | None]:
    """Return the verdict on a result, and by how much it is better than the champion.

    Args:
        challenger: the result.
        champion: evaluated by the same protocol; None: there is none.
        limits: the settings of the gate.
        events: the diagnoses of the challenger's training.
        exported_step: the step of the exported weights; None: the last.
        decided: why a person has decided against this model before, if somebody has.
    """
    margin = None if champion is None else compared(challenger, champion)
    reasons = [
        quality(challenger, champion, margin),
        *([agreement(challenger.metrics, champion.metrics)] if champion else []),
        *(
            not_collapsed(name, challenger.metrics, champion.metrics if champion else None, limits)
            for name in COLLAPSING
        ),
        not_memorised(challenger.metrics, limits),
        healed(events, exported_step),
    ]
    if decided:
        reasons.append(Reason(rule="review", passed=False, text=decided))
    return Verdict(reasons=reasons), margin


def compared(challenger: Contender, champion: Contender) -> Margin | None:
    """Return the gain of the challenger and its noise; None if the values may not be compared."""
    name = rank_by(challenger.metrics)
    ours, standing = challenger.metrics[name], champion.metrics.get(name)
    if standing is None or difference(ours, standing):
        return None
    sign = -1 if ours.better == "higher" else 1
    return Margin(
        metric=name,
        value=ours.value,
        champion=standing.value,
        gain=sign * (standing.value - ours.value),
        noise=noise(ours, standing, challenger.seed_values, champion.seed_values),
        seeds=max(len(challenger.seed_values), 1),
        champion_seeds=max(len(champion.seed_values), 1),
    )


def noise(a: MetricResult, b: MetricResult, *seed_values: Sequence[float]) -> float | None:
    """Return half the 95 % interval of the difference of two values; None if either has no interval."""
    of_images = [image_variance(metric) for metric in (a, b)]
    if None in of_images:
        return None
    of_seeds = [(statistics.variance(v), len(v) - 1) for v in seed_values if len(v) > 1]
    total = sum(v for v in of_images if v is not None) + sum(variance for variance, _ in of_seeds)
    spread = sum(variance**2 / degrees for variance, degrees in of_seeds)
    degrees = total**2 / spread if spread else math.inf
    return float(scipy.stats.t.ppf(0.975, degrees)) * math.sqrt(total)


def image_variance(metric: MetricResult) -> float | None:
    """Return the variance of a value by the choice of images, from its 95 % interval; None without one."""
    if metric.low is None or metric.high is None:
        return None
    return ((metric.high - metric.low) / (2 * Z_QUANTILE)) ** 2


# The rules.


def quality(challenger: Contender, champion: Contender | None, margin: Margin | None) -> Reason:
    """Pass if the challenger is better by more than noise, or the first."""
    name = rank_by(challenger.metrics)
    metric, label = challenger.metrics[name], _label(name)

    def reason(passed: bool, text: str) -> Reason:
        return Reason(rule="quality", passed=passed, text=text)

    if metric.note:
        return reason(False, f"{label} {_short(metric.value)} is doubtful: {metric.note}")
    if champion is None:
        return reason(True, f"{label} {_short(metric.value)}; there is no champion to compare it with")
    if margin is None:
        standing = champion.metrics.get(name)
        why = "it was not measured" if standing is None else difference(metric, standing)
        return reason(False, f"{label} cannot be compared with that of {champion.name}: {why}")
    values = f"{label} {_short(margin.value)} against {_short(margin.champion)} of {champion.name}"
    if margin.noise is None:
        return reason(
            False,
            f"{values}: there is no interval, so noise cannot be excluded; that takes at least 60 "
            "test images (evaluate.samples), or a person's decision (gate.review: manual)",
        )
    change = f"{_short(abs(margin.gain))} {'better' if margin.gain >= 0 else 'worse'}"
    than = "more than" if margin.exceeded else "not better by more than"
    return reason(
        margin.exceeded, f"{values}: {change}, {than} the noise of {_short(margin.noise)}; {_seeds(margin)}"
    )


def _seeds(margin: Margin) -> str:
    """Return whether the noise includes the variance between training seeds."""
    counts = margin.seeds, margin.champion_seeds
    if max(counts) == 1:
        return "the variance between training seeds is unknown, as each side has one"
    words = ("one seed" if n == 1 else f"{n} seeds" for n in counts)
    return f"with the variance between training seeds ({' here, '.join(words)} of the champion)"


def agreement(challenger: Metrics, champion: Metrics) -> Reason:
    """Pass if KID is not worse, where another distance ranks."""
    name = rank_by(challenger)
    other = "reconstruction_kid" if name.startswith("reconstruction") else "kid"
    ours, standing = challenger.get(other), champion.get(other)
    if name not in DISTANCES or ours is None or standing is None:
        return Reason(rule="agreement", text=f"{_label(name)} ranks alone")
    if why := difference(ours, standing):
        return Reason(rule="agreement", passed=False, text=f"{_label(other)} cannot be compared: {why}")
    passed = ours.value <= standing.value
    words = "agrees" if passed else "disagrees"
    text = f"{_label(other)} {words}: {_short(ours.value)} against {_short(standing.value)}"
    return Reason(rule="agreement", passed=passed, text=text)


def not_collapsed(name: str, challenger: Metrics, champion: Metrics | None, limits: Gate) -> Reason:
    """Pass if precision or recall is neither near 0 nor far below the champion's."""
    ours, standing = challenger.get(name), (champion or {}).get(name)
    if ours is None:
        return Reason(rule=name, text=f"{name} not measured in this task")
    measured = f"{name} {_percent(ours.value)}"
    floor = limits.min_share_of_real * (ours.real_baseline or 0.0)
    if ours.value < floor:
        text = f"{measured} has collapsed: real images have {_percent(ours.real_baseline or 0.0)}"
        return Reason(rule=name, passed=False, text=text)
    if standing is None or difference(ours, standing):
        return Reason(rule=name, passed=True, text=f"{measured} has not collapsed")
    against = f"{measured} against {_percent(standing.value)}"
    chance = noise(ours, standing) or 0.0
    fell = ours.value < limits.min_share_of_champion * standing.value and standing.value - ours.value > chance
    return Reason(rule=name, passed=not fell, text=f"{against} has {'' if fell else 'not '}collapsed")


def not_memorised(challenger: Metrics, limits: Gate) -> Reason:
    """Pass if few enough samples are copies of training images."""
    metric = challenger.get("memorization_rate")
    if metric is None:
        return Reason(rule="memorisation", text="memorisation not measured in this task")
    passed = metric.value <= limits.max_memorization
    bound = "within" if passed else "above"
    text = f"{_percent(metric.value)} memorised, {bound} the limit of {_percent(limits.max_memorization)}"
    return Reason(rule="memorisation", passed=passed, text=text)


def healed(events: Sequence[HealthEvent], exported_step: int | None) -> Reason:
    """Pass if each diagnosis was treated, or came after the exported weights."""
    treatments = [
        (e.attempt, e.treatment.back_to) for e in events if e.treatment and e.treatment.back_to is not None
    ]

    def discarded(event: HealthEvent) -> bool:  # a treatment went back to before it
        return any(attempt >= event.attempt and back < event.step for attempt, back in treatments)

    before = [e for e in events if exported_step is None or e.step <= exported_step]
    unhealed = [event for event in before if event.action != "treated" and not discarded(event)]
    if unhealed:
        diagnoses = [f"{event.title.lower() or event.disease} at step {event.step}" for event in unhealed]
        return Reason(rule="health", passed=False, text=f"diagnosed and not healed: {', '.join(diagnoses)}")
    if not events:
        return Reason(rule="health", passed=True, text="no diagnosis")
    what = "each diagnosis was treated" if before else "the weights are older than each diagnosis"
    return Reason(rule="health", passed=True, text=f"{what} ({len(events)})")


def best_first(contenders: Mapping[str, Metrics]) -> list[str]:
    """Return the owners of metrics, best first by the metric that ranks; those with a note last."""

    def place(owner: str) -> tuple[bool, float]:
        metric = contenders[owner][rank_by(contenders[owner])]
        return metric.note is not None, metric.value * (-1 if metric.better == "higher" else 1)

    return sorted(contenders, key=place)


def _label(name: str) -> str:
    prefix, _, rest = name.rpartition("reconstruction_")
    return f"{'reconstruction ' if prefix or name != rest else ''}{LABELS.get(rest, rest.replace('_', ' '))}"


def _short(value: float) -> str:
    return f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"
