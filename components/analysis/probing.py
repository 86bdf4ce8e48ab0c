"""Codes as features: a linear probe, and a map of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from components.analysis.anomaly import percent
from components.analysis.view import Picture, Subject, View, flat, plot, table
from components.metrics.distances import Estimate
from components.metrics.intervals import share
from components.records.analysis import Sheet

STRENGTHS = (0.01, 0.1, 1.0)  # C of the probe, of which validation chooses
ITERATIONS = 100
PROBED = 128  # numbers that a probe gets, at most: of more, as many principal components
POINTS = 1000  # on a map, at most
THUMBNAIL = 32  # pixels along a side of the image of a point, at most
ACROSS = 32  # images of points in a row of their picture


def features(subject: Subject) -> View | None:
    """The accuracy of a linear classifier on codes, on as many components, and on pixels."""
    labels = {split: subject.labels(split) for split in ("train", "validation", "test")}
    if subject.conditional:  # its codes need not hold the class
        return None
    if any(values is None or len(np.unique(values)) < 2 for values in labels.values()):
        return None
    pixels = {split: flat(subject.images(split)) for split in labels}
    components = {split: subject.pca.transform(values) for split, values in pixels.items()}
    z = subject.latent
    inputs = {
        f"codes, {z} numbers": subject.codes,
        f"PCA, {subject.pca.n_components_} components": components,
    }
    inputs |= {f"pixels, {pixels['test'].shape[1]} numbers": pixels}
    rows = [(name, [probe(values, labels)]) for name, values in inputs.items()]  # type: ignore[arg-type]
    note = (
        f"Multinomial logistic regression on {len(pixels['train'])} training images, its strength chosen on "
        f"{len(pixels['validation'])} validation images; {len(pixels['test'])} test images. Of more than "
        f"{PROBED} numbers, it gets the first {PROBED} principal components."
    )
    return View(
        "features",
        "Features",
        "How well a linear classifier tells the classes by the codes alone.",
        [table((("right, %", "higher"),), rows, note=note)],
    )


def probe(inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Estimate:
    """The test images told right, in percent, by the best of the probes on validation."""
    fitted, inputs = [], reduced(inputs)
    for strength in STRENGTHS:
        classifier = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=ITERATIONS, random_state=0)
        )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # that of the weakest is good enough to choose
            classifier.fit(inputs["train"], labels["train"])
        fitted.append((classifier.score(inputs["validation"], labels["validation"]), -strength, classifier))
    best = max(fitted, key=lambda scored: scored[:2])[2]
    right = int((best.predict(inputs["test"]) == labels["test"]).sum())
    return percent(share(right, len(labels["test"])))


def reduced(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Inputs (N, D) by split, in PROBED principal components of training if D is more."""
    n, d = inputs["train"].shape
    if d <= PROBED:
        return inputs
    pca = PCA(min(PROBED, n), svd_solver="randomized", random_state=0).fit(inputs["train"])
    return {split: pca.transform(values) for split, values in inputs.items()}


def map_of_codes(subject: Subject) -> View | None:
    """Test codes in the plane that training codes vary most in."""
    if subject.latent < 2:
        return None
    plane = PCA(2, random_state=subject.seed).fit(subject.codes["train"])
    points = plane.transform(subject.codes["test"])[:POINTS]
    labels, names = subject.labels("test"), subject.names
    if labels is None:
        members = {"test images": np.arange(len(points))}
    else:
        members = {
            names[c] if names else str(c): np.flatnonzero(labels[:POINTS] == c)
            for c in np.unique(labels[:POINTS])
        }
    lines = {name: [(x, y) for x, y in points[rows]] for name, rows in members.items()}
    images = thumbnails(subject.images("test")[np.concatenate(list(members.values()))])
    sheet = Sheet(path="map-0.webp", rows=-(-len(images) // ACROSS), columns=ACROSS)
    drawn = plot("scatter", "first component", "second component", lines)
    explained = plane.explained_variance_ratio_.sum()
    return View(
        "map",
        "Map of the codes",
        f"Codes of {len(points)} test images in the two directions in which codes vary most; they have "
        f"{100 * explained:.0f} % of the variance.",
        plots=[drawn.model_copy(update={"samples": sheet})],
        pictures=[Picture(images, ACROSS, "Images of the points", "In the order of the points.")],
    )


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W), uint8, of at most THUMBNAIL pixels along a side: the means of areas."""
    side = min(THUMBNAIL, images.shape[-1])
    small = F.interpolate(torch.from_numpy(images).float(), (side, side), mode="area")
    return small.round().to(torch.uint8).numpy()
