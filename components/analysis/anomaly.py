"""Anomalies: images that do not come back as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from components.analysis.view import Columns, Subject, View, table
from components.metrics.distances import Estimate
from components.metrics.intervals import Z_QUANTILE, share
from components.sampling.reconstruction_error import errors_of
from models.family import Generator

QUANTILE = 0.95  # of the errors of known validation images: the threshold
RESAMPLES = 200  # of the test images, for intervals


@dataclass(frozen=True)
class Detected:
    """What the model of a class that it never saw makes of test images."""

    error: np.ndarray  # (N,)
    strange: np.ndarray  # (N,) bool: of the class
    threshold: float  # above which an error flags an image

    def measured(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """AUROC, AUPRC, base rate, and the shares of unknown and known that are flagged, of some images."""
        error, strange = self.error[rows], self.strange[rows]
        flagged = error > self.threshold
        areas = roc_auc_score(strange, error), average_precision_score(strange, error)
        return np.array([*areas, strange.mean(), flagged[strange].mean(), flagged[~strange].mean()])


def anomaly(subject: Subject) -> View | None:
    """For each class that a detector never saw, how well errors tell it from the others."""
    labels = subject.labels("test")
    # What is told the class of an image cannot be asked whether it knows it.
    if not subject.detectors or subject.names is None or labels is None or subject.conditional:
        return None
    found = {
        name: detected(subject, generator, subject.names.index(name))
        for name, generator in subject.detectors.items()
        if (labels == subject.names.index(name)).any()
    }
    if not found:
        return None
    random = subject.random
    drawn = [within_classes(labels, random) for _ in range(RESAMPLES)]
    again = np.array([[one.measured(rows) for rows in drawn] for one in found.values()])  # (classes, B, 5)
    columns: Columns = (
        ("AUROC", "higher"),
        ("AUPRC", "higher"),
        ("share of the unknown, AUPRC of a coin", None),
        ("unknown flagged, %", "higher"),
        ("known flagged, %", "lower"),
    )
    note = (
        f"Trained without the class. Flagged: an error above the {QUANTILE:g} quantile of validation images "
        "of the other classes. Intervals: Hanley & McNeil 1982 of AUROC, Wilson of shares, the bootstrap "
        "within classes of AUPRC and means."
    )
    if missing := [name for name in subject.detectors if name not in found]:
        note += f" There are no test images of {', '.join(missing)}."
    rows = [
        (f"without {name}", cells(one, spread))
        for (name, one), spread in zip(found.items(), again, strict=True)
    ]
    return View(
        "anomaly",
        "Anomaly detection",
        "What was never seen comes back worse: test images of a class that training left out, among others.",
        [table(columns, [*rows, ("mean", means(list(found.values()), again))], note=note, rivals=False)],
    )


def detected(subject: Subject, generator: Generator, unknown: int) -> Detected:
    """What a model that never saw class `unknown`, which is among the test labels, makes of test images."""
    labels = {split: subject.labels(split) for split in ("validation", "test")}
    assert labels["validation"] is not None and labels["test"] is not None
    errors = {
        split: errors_of(generator, subject.images(split), subject.labels(split), subject.device)
        for split in labels
    }
    known = errors["validation"][labels["validation"] != unknown]
    return Detected(errors["test"], labels["test"] == unknown, float(np.quantile(known, QUANTILE)))


def within_classes(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """As many rows of each class as there are, drawn with replacement, (N,)."""
    of_each = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return np.concatenate([random.choice(rows, len(rows)) for rows in of_each])


def cells(one: Detected, again: np.ndarray) -> list[Estimate]:
    """The numbers of a class with intervals; `again` (B, 5) are those of images drawn anew."""
    area, precision, base, _, _ = map(float, one.measured())
    strange, flagged = one.strange, one.error > one.threshold
    n, m = int(strange.sum()), int((~strange).sum())
    return [
        hanley_mcneil(area, n, m),
        Estimate(precision, *between(again[:, 1])),
        Estimate(base),
        percent(share(int(flagged[strange].sum()), n)),
        percent(share(int(flagged[~strange].sum()), m)),
    ]


def means(found: Sequence[Detected], again: np.ndarray) -> list[Estimate]:
    """The means over classes, with the intervals of `again` (classes, B, 5)."""
    values, spread = np.mean([one.measured() for one in found], 0), again.mean(0)
    told = [Estimate(float(value), *between(own)) for value, own in zip(values, spread.T, strict=True)]
    told[2] = Estimate(told[2].value)  # drawing within classes leaves it as it is
    return [*told[:3], *map(percent, told[3:])]


def between(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of values that were drawn again and again."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def hanley_mcneil(area: float, n: int, m: int) -> Estimate:
    """An area under the ROC curve of n positives and m negatives, with its interval.

    Hanley & McNeil 1982, The Meaning and Use of the Area under a ROC Curve, Eq. 2.
    """
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    square = area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (two - area**2)
    half = Z_QUANTILE * float(np.sqrt(max(square, 0.0) / (n * m)))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))


def percent(estimate: Estimate) -> Estimate:
    """A share in percent."""
    low, high = (None if end is None else 100 * end for end in (estimate.low, estimate.high))
    return Estimate(100 * estimate.value, low, high)
