"""Anomalies: images that do not come back as they were."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from components.distances import Estimate
from components.metrics import Z_QUANTILE, share
from components.strangeness import errors_of
from components.uses.view import Subject, Table, View
from models.family import Generator

QUANTILE = 0.95  # of the errors of known validation images: the threshold


def anomaly(subject: Subject) -> View | None:
    """For each class that a detector never saw, how well errors tell it from the others."""
    labels = subject.labels("test")
    # What is told the class of an image cannot be asked whether it knows it.
    if not subject.detectors or subject.names is None or labels is None or subject.conditional:
        return None
    found = [
        (name, detected(subject, generator, subject.names.index(name)))
        for name, generator in subject.detectors.items()
        if (labels == subject.names.index(name)).any()
    ]
    if not found:
        return None
    rows = [(f"without {name}", cells) for name, cells in found]
    means = [float(np.mean([cells[i].value for _, cells in found])) for i in range(5)]
    columns = (
        ("AUROC", "higher"),
        ("AUPRC", "higher"),
        ("share of the unknown, AUPRC of a coin", None),
        ("unknown flagged, %", "higher"),
        ("known flagged, %", "lower"),
    )
    note = (
        f"Trained without the class. Flagged: an error above the {QUANTILE:g} quantile of validation images "
        "of the other classes. Intervals: Hanley & McNeil 1982; Wilson."
    )
    return View(
        "anomaly",
        "Anomaly detection",
        "What was never seen comes back worse: test images of a class that training left out, among others.",
        [Table(columns, [*rows, ("mean", means)], note=note, rivals=False)],
    )


def detected(subject: Subject, generator: Generator, unknown: int) -> list[Estimate]:
    """AUROC, AUPRC, base rate, unknown and known flagged in percent; the classes are in the test labels."""
    labels = {split: subject.labels(split) for split in ("validation", "test")}
    assert labels["validation"] is not None and labels["test"] is not None
    errors = {
        split: errors_of(generator, subject.images(split), subject.labels(split), subject.device)
        for split in labels
    }
    strange = labels["test"] == unknown
    threshold = np.quantile(errors["validation"][labels["validation"] != unknown], QUANTILE)
    flagged = errors["test"] > threshold
    n, m = int(strange.sum()), int((~strange).sum())
    return [
        hanley_mcneil(float(roc_auc_score(strange, errors["test"])), n, m),
        Estimate(float(average_precision_score(strange, errors["test"]))),
        Estimate(n / (n + m)),
        percent(share(int(flagged[strange].sum()), n)),
        percent(share(int(flagged[~strange].sum()), m)),
    ]


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
