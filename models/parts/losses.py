"""Adversarial objectives on the scores of a discriminator D, and penalties on its gradient.

If D is a probability, its score is the logit: -log D is softplus(-score) and -log(1 - D) is softplus(score),
which avoids the logarithm of a rounded sigmoid. Scores (N,) are r = D(x) for images, f = D(G(z)) for samples.
A discriminator of patches returns scores (N, H, W), whose mean is the score of an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import softplus

from models.family import DISCRIMINATOR, GENERATOR, Terms


@dataclass(frozen=True)
class Objective:
    """The losses of D and G, and the meaning of scores."""

    discriminator: Callable[[Tensor, Tensor, float], Terms]  # of r, f and the smoothing of the label of r
    generator: Callable[[Tensor, Tensor], Tensor]  # of f and r
    relativistic: bool = False  # whether G's loss depends on r
    labels: bool = True  # whether images have a label that can be smoothed
    probability: bool = False  # whether the sigmoid of a score is a probability
    undecided: float | None = 0.0  # score of an undecided D; None: single scores have no meaning
    # Healthy ranges from tutorials by the name of the logged value, drawn in plots.
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def displayed_score(self, score: Tensor) -> Tensor:
        """Convert a score to the logged D(.): a probability if it has one."""
        return score.sigmoid() if self.probability else score


def cross_entropy(r: Tensor, f: Tensor, smoothing: float) -> Terms:
    """-log D(x) - log(1 - D(G(z))), Goodfellow et al. 2014, Eq. 1.

    Images have the label 1 - smoothing: one-sided label smoothing, Salimans et al. 2016, Sec. 3.4.
    """
    real = (1 - smoothing) * softplus(-r) + smoothing * softplus(r) if smoothing else softplus(-r)
    return {"real": real, "fake": softplus(f)}


def non_saturating(f: Tensor, r: Tensor) -> Tensor:
    """-log D(G(z)), whose gradient does not vanish if D is certain. Goodfellow et al. 2014, Sec. 3."""
    return softplus(-f)


def minimax(f: Tensor, r: Tensor) -> Tensor:
    """log(1 - D(G(z))), the zero-sum game of Eq. 1; its gradient vanishes if D is certain."""
    return -softplus(f)


def least_squares(r: Tensor, f: Tensor, smoothing: float) -> Terms:
    """((D(x) - 1)^2 + D(G(z))^2) / 2, Mao et al. 2017, Eq. 9, https://arxiv.org/abs/1611.04076."""
    return {"real": (r - (1 - smoothing)).square() / 2, "fake": f.square() / 2}


def least_squares_generator(f: Tensor, r: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2, Mao et al. 2017, Eq. 9."""
    return (f - 1).square() / 2


def hinge(r: Tensor, f: Tensor, smoothing: float) -> Terms:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), Lim & Ye 2017, https://arxiv.org/abs/1705.02894."""
    return {"real": (1 - smoothing - r).relu(), "fake": (1 + f).relu()}


def wasserstein(r: Tensor, f: Tensor, smoothing: float) -> Terms:
    """D(G(z)) - D(x), the negative of the estimated distance. Arjovsky et al. 2017, Eq. 3."""
    return {"real": -r, "fake": f}


def critic_score(f: Tensor, r: Tensor) -> Tensor:
    """-D(G(z))."""
    return -f


def relativistic(r: Tensor, f: Tensor, smoothing: float) -> Terms:
    """-log sigmoid(D(x) - D(G(z))) of pairs of an image and a sample.

    Jolicoeur-Martineau 2019, Sec. 4.1, https://arxiv.org/abs/1807.00734; Huang et al. 2024, Eq. 2.
    """
    return {"pair": softplus(f - r)}


def relativistic_generator(f: Tensor, r: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x))."""
    return softplus(r - f)


def relativistic_average(r: Tensor, f: Tensor, smoothing: float) -> Terms:
    """-log sigmoid(D(x) - E[D(G(z))]) and -log(1 - sigmoid(D(G(z)) - E[D(x)])), means over all scores.

    Jolicoeur-Martineau 2019, Sec. 4.2; Wang et al. 2018, Eq. 1, https://arxiv.org/abs/1809.00219.
    """
    return {"real": softplus(f.mean() - r), "fake": softplus(f - r.mean())}


def relativistic_average_generator(f: Tensor, r: Tensor) -> Tensor:
    """Half of -log(1 - sigmoid(D(x) - E[D(G(z))])) - log sigmoid(D(G(z)) - E[D(x)]).

    Wang et al. 2018, Eq. 2, is twice as large; the authors' code has the half.
    """
    return (softplus(r - f.mean()) + softplus(r.mean() - f)) / 2


UNDECIDED = {f"{DISCRIMINATOR}/D(x)": (0.3, 0.7), f"{DISCRIMINATOR}/D(G(z))": (0.3, 0.7)}
OF_CROSS_ENTROPY = UNDECIDED | {f"{DISCRIMINATOR}/loss": (0.5, 0.7), f"{GENERATOR}/score": (1.0, 2.0)}
WITHIN_MARGIN = {f"{DISCRIMINATOR}/D(x)": (0.0, 1.0), f"{DISCRIMINATOR}/D(G(z))": (-1.0, 0.0)}
OF_PAIRS = {f"{DISCRIMINATOR}/loss": (0.5, 0.7), f"{GENERATOR}/score": (math.log(2), 1.5)}

OBJECTIVES: dict[str, Objective] = {
    "non_saturating": Objective(cross_entropy, non_saturating, probability=True, bands=OF_CROSS_ENTROPY),
    "minimax": Objective(cross_entropy, minimax, probability=True, bands=UNDECIDED),
    "least_squares": Objective(least_squares, least_squares_generator, undecided=0.5, bands=UNDECIDED),
    "hinge": Objective(hinge, critic_score, bands=WITHIN_MARGIN),
    "wasserstein": Objective(wasserstein, critic_score, labels=False, undecided=None),
    "relativistic": Objective(
        relativistic, relativistic_generator, relativistic=True, labels=False, undecided=None, bands=OF_PAIRS
    ),
    "relativistic_average": Objective(
        relativistic_average,
        relativistic_average_generator,
        relativistic=True,
        labels=False,
        undecided=None,
        bands=OF_PAIRS,
    ),
}


# Penalties on the gradient of D.


def gradient(score: Tensor, x: Tensor) -> Tensor:
    """The gradient of score_i with respect to x_i, differentiable, with the shape of x.

    If D uses statistics of the batch, it is the gradient of the sum of all scores with respect to x_i.
    """
    if score.ndim > 1:  # of patches
        score = score.flatten(1).mean(1)
    (grad,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return grad.float()


def zero_centred(score: Tensor, x: Tensor) -> Tensor:
    """|grad D(x)|^2 / 2, (N,). On images R1, on samples R2: Mescheder et al. 2018, Eq. 9 and 10."""
    return gradient(score, x).square().flatten(1).sum(1) / 2


def one_centred(score: Tensor, x: Tensor) -> Tensor:
    """(|grad D(x)| - 1)^2, (N,). Gulrajani et al. 2017, Eq. 3; 1e-12 makes the root differentiable at 0."""
    norm = (gradient(score, x).square().flatten(1).sum(1) + 1e-12).sqrt()
    return (norm - 1).square()


def between(x: Tensor, fake: Tensor) -> Tensor:
    """Return a uniformly random point x^ on each line from image to sample. Gulrajani et al., Alg. 1."""
    t = torch.rand(len(x), 1, 1, 1, device=x.device)
    return t * x + (1 - t) * fake


def l1(y: Tensor, fake: Tensor) -> Tensor:
    """|y - fake|, the mean over the pixels of each image, (N,). Isola et al. 2017, Eq. 3."""
    return (y - fake).float().abs().flatten(1).mean(1)


def auc(r: Tensor, f: Tensor) -> Tensor:
    """The share of pairs in which D ranks the image above the sample; 0.5 is chance for every objective."""
    higher, equal = r[:, None] > f[None], r[:, None] == f[None]
    return (higher + 0.5 * equal).float().mean()
