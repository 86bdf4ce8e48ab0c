"""Anomaly detection by reconstruction error, with models trained without one class."""

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
class ClassErrors:
    """Reconstruction errors of test images by a model that was trained without one class."""

    error: np.ndarray  # (N,)
    strange: np.ndarray  # (N,) bool: of the excluded class
    threshold: float  # above which an error flags an image

    def measured(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """AUROC, AUPRC, base rate, and the flagged shares of unknown and known images, of some rows."""
        error, strange = self.error[rows], self.strange[rows]
        flagged = error > self.threshold
        areas = roc_auc_score(strange, error), average_precision_score(strange, error)
        return np.array([*areas, strange.mean(), flagged[strange].mean(), flagged[~strange].mean()])


def anomaly(subject: Subject) -> View | None:
    """For each excluded class, how well reconstruction errors tell it from the others."""
    labels = subject.labels("test")
    # A class-conditional model is given the class that it should not know.
    if not subject.detectors or subject.names is None or labels is None or subject.conditional:
        return None
    by_class = {
        name: detected(subject, generator, subject.names.index(name))
        for name, generator in subject.detectors.items()
        if (labels == subject.names.index(name)).any()
    }
    if not by_class:
        return None
    random = subject.random
    drawn = [within_classes(labels, random) for _ in range(RESAMPLES)]
    again = np.array(
        [[errors.measured(rows) for rows in drawn] for errors in by_class.values()]
    )  # (classes, B, 5)
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
    if missing := [name for name in subject.detectors if name not in by_class]:
        note += f" There are no test images of {', '.join(missing)}."
    rows = [
        (f"without {name}", cells(errors, spread))
        for (name, errors), spread in zip(by_class.items(), again, strict=True)
    ]
    return View(
        "anomaly",
        "Anomaly detection",
        "What was never seen comes back worse: test images of a class that training left out, among others.",
        [table(columns, [*rows, ("mean", means(list(by_class.values()), again))], note=note, rivals=False)],
    )


def detected(subject: Subject, generator: Generator, unknown: int) -> ClassErrors:
    """The errors of test images by a model trained without class `unknown`, which the test labels have."""
    labels = {split: subject.labels(split) for split in ("validation", "test")}
    assert labels["validation"] is not None and labels["test"] is not None
    errors = {
        split: errors_of(generator, subject.images(split), subject.labels(split), subject.device)
        for split in labels
    }
    others = errors["validation"][labels["validation"] != unknown]
    return ClassErrors(errors["test"], labels["test"] == unknown, float(np.quantile(others, QUANTILE)))


def within_classes(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Rows drawn with replacement, of each class as many as it has, (N,)."""
    of_each = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return np.concatenate([random.choice(rows, len(rows)) for rows in of_each])


def cells(one: ClassErrors, again: np.ndarray) -> list[Estimate]:
    """The numbers of a class with intervals; `again` (B, 5) are those of resampled images."""
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


def means(by_class: Sequence[ClassErrors], again: np.ndarray) -> list[Estimate]:
    """The means over classes, with the intervals of `again` (classes, B, 5)."""
    values, resampled = np.mean([errors.measured() for errors in by_class], 0), again.mean(0)
    estimates = [
        Estimate(float(value), *between(column)) for value, column in zip(values, resampled.T, strict=True)
    ]
    estimates[2] = Estimate(estimates[2].value)  # drawing within classes leaves it as it is
    return [*estimates[:3], *map(percent, estimates[3:])]


def between(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
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
