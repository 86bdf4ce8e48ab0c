"""Latent distributions: which dimensions are active, and the likelihood of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
import torch
from torch.utils.flop_counter import FlopCounterMode

from components.analysis.view import TRAINING, Subject, View, plot, table
from components.common.chunks import CHUNK
from components.metrics.distances import Estimate
from components.metrics.intervals import mean_estimate
from models.family import Batch

ACTIVE = 0.01  # Burda et al. 2016, Sec. 5.2
DRAWS = (1, 10, 100, 1000)  # K
LIKELY, LEAST = 1000, 64  # test images whose probability is estimated: at most, and for the most draws
WORK = 3e12  # floating-point operations of all draws of all images: a thousand draws for each of 470 digits
COMPONENTS = (1, 10, 20, 50, 100, 200, 400, 800)  # of the mixture of Bernoullis; validation chooses
ITERATIONS = 60  # of EM
MIXTURE_WORK = 1e12  # floating-point operations of all mixtures: up to 400 components for 5,000 digits
PRIOR = 0.5  # white and black pixels that each component has seen before any image


def posterior(subject: Subject) -> View | None:
    """Active units, the divergence of each dimension, and the bound that it is a part of."""
    if not hasattr(subject.generator, "posterior"):
        return None
    means, log_variances = posteriors(subject)
    kl = divergences(means, log_variances)
    active = int((means.var(0) > ACTIVE).sum())
    sorted_kl = np.sort(kl.mean(0))[::-1]
    columns = [("active dimensions", None), ("KL(q(z|x) || N(0, I)), nats", None)]
    cells: list[Estimate | str] = [f"{active} of {kl.shape[1]}", mean_estimate(kl.sum(1))]
    if (weights := likely(subject, min(DRAWS[1], effort(subject)[1]))) is not None:
        columns += [("reconstruction, E[-log p(x|z)], nats", None), ("-ELBO, their sum, nats", None)]
        elbo = bound(weights, 1)
        cells += [mean_estimate(-elbo - kl.sum(1)), mean_estimate(-elbo)]
    return View(
        "posterior",
        "What the codes carry",
        f"A dimension is active where the variance of its mean over images is above {ACTIVE:g} (Burda et al. "
        "2016); one with no divergence from the prior carries nothing.",
        [table(columns, [("test images", cells)], note=f"{len(kl)} images, {as_seen(subject)}.")],
        [
            plot(
                "bars",
                "dimension, in falling order",
                "nats",
                {"KL": [(j + 1.0, float(value)) for j, value in enumerate(sorted_kl)]},
            )
        ],
    )


def divergences(mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """KL(q(z_j|x) || N(0, 1)) of each image and dimension, (N, Z)."""
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)


@torch.no_grad()
def posteriors(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Means and log variances (N, Z), float64, of the test images that the likelihood is of."""
    generator: Any = subject.generator
    parts = [generator.posterior(batch) for batch in likelihood_batches(subject)]
    mean, log_variance = (torch.cat(values).double().cpu().numpy() for values in zip(*parts, strict=True))
    return mean, log_variance


def likely_images(subject: Subject) -> int:
    """How many test images the likelihood is of."""
    return effort(subject)[0]


def effort(subject: Subject) -> tuple[int, int]:
    """How many test images the likelihood is of, and how many draws of each it takes at most.

    Both are fewer where a draw is more work, or less of the training images is used; draws only where there
    would be less than LEAST images.
    """
    draws = WORK * min(1.0, subject.training / TRAINING) / max(1, operations(subject))  # of all images
    k = next((k for k in reversed(DRAWS) if draws / k >= LEAST), 1)
    return min(subject.count("test"), LIKELY, max(LEAST, int(draws // k))), k


@torch.no_grad()
def operations(subject: Subject) -> int:
    """The floating-point operations of matrix products and convolutions in one draw for one image."""
    generator: Any = subject.generator
    if not getattr(generator, "has_likelihood", False):
        return 0
    labels = subject.labels("test")
    (batch,) = subject.batches(subject.images("test")[:1], None if labels is None else labels[:1])
    with FlopCounterMode(display=False) as counter:
        generator.log_weights(batch, subject.noise(0, 1), 1)
    return int(counter.get_total_flops())


def likelihood_batches(subject: Subject) -> Iterator[Batch]:
    """The first test images as the likelihood sees them: made binary if the model is, by the same draws."""
    generator: Any = subject.generator
    images, labels = subject.images("test")[: likely_images(subject)], subject.labels("test")
    for i, batch in enumerate(subject.batches(images, labels)):
        if hasattr(generator, "binary"):
            x = generator.binary(batch, subject.noise(i * CHUNK, len(batch)))
            batch = replace(batch, image=2 * x - 1)
        yield batch


def as_seen(subject: Subject) -> str:
    """Whether test images are made binary, in words."""
    images = [batch.image for batch in likelihood_batches(subject) if batch.image is not None]
    return "made binary" if all(bool((x.abs() == 1).all()) for x in images) else "as they are"


# Likelihood


def likelihood(subject: Subject) -> View | None:
    """Log p(x) from below by importance sampling, a mixture of Bernoullis beside it where x is binary."""
    most = effort(subject)[1]
    weights = likely(subject, most)
    if weights is None:
        return None
    bounds = {k: bound(weights, k) for k in DRAWS if k <= most}
    rows = [
        (f"at most, {k:,} draws" if k > 1 else "at most, the ELBO", [negated(mean_estimate(values))])
        for k, values in bounds.items()
    ]
    binary = binarised(subject)
    if binary is not None:
        mixture = best_mixture(binary["train"], binary["validation"], subject.random)
        nats = mean_estimate(-mixture.log_p(binary["test"]))
        rows.append((f"a mixture of {len(mixture.weight)} Bernoullis", [nats]))
    line = [(float(k), float(values.mean())) for k, values in bounds.items()]
    return View(
        "likelihood",
        "Likelihood",
        "log p(x) is at least the mean of log(1/K sum w) over images, and the more draws K the closer (Burda "
        "et al. 2016, Eq. 8).",
        [
            table(
                (("-log p(x), nats an image", "lower"),),
                rows,
                note=noted(subject, len(weights), binary is not None),
                rivals=False,
            )
        ],
        [plot("lines", "draws", "bound of log p(x), nats", {"log p(x) is above": line}, log=True)],
    )


def noted(subject: Subject, images: int, binary: bool) -> str:
    """Of how many images the likelihood is, and of what."""
    note = f"{images} test images."
    if subject.conditional:
        note += " The model is told the class, so it is log p(x | class)"
        note += "; the mixture is not told." if binary else "."
    if not binary:
        note += (
            " A density of pixels in [0, 1], not a probability: it may be less than 0 nats, and does not "
            "compare with binary images."
        )
    return note


def likely(subject: Subject, k: int) -> np.ndarray | None:
    """`log_weights`; None where there is no likelihood of these images."""
    has_likelihood = getattr(subject.generator, "has_likelihood", False)
    return log_weights(subject, k) if has_likelihood else None


@torch.no_grad()
def log_weights(subject: Subject, k: int) -> np.ndarray:
    """Of the first test images, (N, k) float64."""
    images, labels = subject.images("test")[: likely_images(subject)], subject.labels("test")
    generator: Any = subject.generator
    parts = []
    for i, batch in enumerate(subject.batches(images, labels)):
        parts.append(generator.log_weights(batch, subject.noise(i * CHUNK, len(batch)), k))
    return torch.cat(parts).double().cpu().numpy()


def bound(weights: np.ndarray, k: int) -> np.ndarray:
    """The bound of k draws of each image, (N,), averaged over as many groups as there are."""
    groups = weights.reshape(len(weights), -1, k)
    return (scipy.special.logsumexp(groups, axis=2) - math.log(k)).mean(1)


def negated(estimate: Estimate) -> Estimate:
    """-x."""
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return Estimate(-estimate.value, low, high)


@torch.no_grad()
def binarised(subject: Subject) -> dict[str, np.ndarray] | None:
    """The binary images (N, D) that the likelihood is of, by split; None where they are not binary."""
    generator: Any = subject.generator
    if not hasattr(generator, "binary"):
        return None
    images = {}
    for split in ("train", "validation", "test"):
        batches = enumerate(subject.batches(subject.images(split), subject.labels(split)))
        x = [generator.binary(b, subject.noise(i * CHUNK, len(b))).flatten(1).cpu() for i, b in batches]
        images[split] = torch.cat(x).numpy()
    images["test"] = images["test"][: likely_images(subject)]
    return images if np.isin(images["test"], (0.0, 1.0)).all() else None


@dataclass(frozen=True)
class BernoulliMixture:
    """p(x) = sum_c weight_c prod_d mean_cd^x_d (1 - mean_cd)^(1 - x_d)."""

    weight: np.ndarray  # (C,)
    mean: np.ndarray  # (C, D)

    def joint(self, x: np.ndarray) -> np.ndarray:
        """Log weight_c p(x|c), (N, C), of binary x (N, D)."""
        on, off = np.log(self.mean), np.log1p(-self.mean)
        return np.log(self.weight) + x @ (on - off).T.astype(x.dtype) + off.sum(1)

    def log_p(self, x: np.ndarray) -> np.ndarray:
        """Log p(x), (N,), in nats."""
        return scipy.special.logsumexp(self.joint(x), axis=1)

    def improved(self, x: np.ndarray) -> BernoulliMixture:
        """A step of expectation maximisation; Bishop 2006, Eq. 9.56 to 9.60, with a few pixels beforehand."""
        joint = self.joint(x)
        share = np.exp(joint - scipy.special.logsumexp(joint, axis=1, keepdims=True))
        count = share.sum(0)
        mean = (share.T.astype(x.dtype) @ x + PRIOR) / (count[:, None] + 2 * PRIOR)
        return BernoulliMixture((count + 1) / (len(x) + len(count)), mean)


def mixture_of(x: np.ndarray, components: int, random: np.random.RandomState) -> BernoulliMixture:
    """Fitted to binary x (N, D), from images chosen at random, softened."""
    start = x[random.choice(len(x), min(components, len(x)), replace=False)]
    mixture = BernoulliMixture(np.full(len(start), 1 / len(start)), 0.25 + 0.5 * start)
    for _ in range(ITERATIONS):
        mixture = mixture.improved(x)
    return mixture


def best_mixture(
    train: np.ndarray, validation: np.ndarray, random: np.random.RandomState
) -> BernoulliMixture:
    """The one of as many components as validation likes best.

    More are tried until it likes them less, or until they would be more work than MIXTURE_WORK.
    """
    best, liked, work = None, -math.inf, 0.0
    for components in COMPONENTS:
        work += 4.0 * ITERATIONS * components * train.size  # two matrix products
        if best is not None and work > MIXTURE_WORK:
            break
        mixture = mixture_of(train, min(components, len(train)), random)
        if (likes := float(mixture.log_p(validation).mean())) <= liked:
            break
        best, liked = mixture, likes
    assert best is not None, "binary images have a likelihood"
    return best
