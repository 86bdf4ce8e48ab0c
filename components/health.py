"""The doctor: what goes wrong in adversarial training, told from sustained evidence and never from one band.

A probe draws the same fixed-seed samples of a generator again and again and measures them in feature space. A
doctor reads these and the other vitals of a training (means since its last look):

    D(x), D(G(z))         D's mean output on images and on samples
    auc                   share of pairs in which D ranks the image above the sample; 0.5 is chance
    loss_d, loss_g        the two losses
    grad_d, grad_g        norms of the two gradients
    weights_d, weights_g  norms of the two networks' weights
    diversity, movement   what the probe measured

A rule is a function of the history of looks that gives its evidence where it sees a disease, and is silent
where its vitals are absent. The doctor tells a disease when the evidence has lasted, once, and again only
after it was gone for a while.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.distributed import derive
from models.family import Batch, Card, Generator, Noise

Features = Callable[[Tensor], "np.ndarray | Tensor"]
"""From images (N, C, H, W) in [-1, 1] to feature vectors (N, D)."""

Vitals = Mapping[str, float]
Evidence = dict[str, float]

# The probe.

BANDWIDTH = 0.4  # of the kernel, over the median distance of real images: sees one mode of 25 in 2-d and one
# class of ten in 64-d, where distances of unlike images hardly differ


class Probe:
    """Fixed-seed samples of a generator in training, measured in feature space.

    Args:
        card: the images' shape and classes; samples of all classes are drawn in turn.
        features: what the measures look at.
        real: images (N, C, H, W) in [-1, 1], of which at most `n` say how diverse samples should be.
        n: samples.
        seed: of the noise and of the choice among the images.
    """

    def __init__(self, card: Card, features: Features, real: Tensor, n: int = 128, seed: int = 0):
        self.card, self.features, self.n, self.seed = card, features, n, seed
        choice = torch.randperm(len(real), generator=torch.Generator().manual_seed(derive(seed, "real")))
        distances = pairwise(self._vectors(real[choice[:n]]))  # (N, N)
        between = distances[np.triu_indices(len(distances), 1)]
        self.spread = float(between.mean())
        self.bandwidth = BANDWIDTH * float(np.median(between))
        self.real_diversity = vendi_score(distances, self.bandwidth)
        self.last: Tensor | None = None  # (N, D) features of the samples at the last look

    def __call__(self, generator: Generator) -> dict[str, float]:
        """How diverse the samples are and, from the second look on, how far they moved since the last one.

        diversity: 1 as diverse as as many images, near 0 all alike.
        movement: mean distance of a sample from itself at the last look, over that of two images; 0 is still.
        """
        vectors = self._vectors(self._sample(generator))
        last, self.last = self.last, torch.from_numpy(vectors)
        if not np.isfinite(vectors).all():
            return {"diversity": math.nan}
        found = {"diversity": vendi_score(pairwise(vectors), self.bandwidth) / self.real_diversity}
        if last is not None:
            moved = np.linalg.norm(vectors - last.numpy(), axis=1).mean()
            found["movement"] = float(moved) / self.spread
        return found

    def state(self) -> dict[str, Tensor]:
        """What the next look depends on."""
        return {} if self.last is None else {"last": self.last}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.last = state.get("last")

    def _sample(self, generator: Generator) -> Tensor:
        device = next(generator.parameters()).device
        classes = self.card.num_classes
        label = torch.arange(self.n, device=device) % classes if classes else None
        noise = Noise((derive(self.seed, "probe", i) for i in range(self.n)), device)
        with as_in_training(generator), torch.no_grad():
            return generator.sample(Batch(self.n, label=label), noise)

    def _vectors(self, images: Tensor) -> np.ndarray:
        vectors = self.features(images)
        if isinstance(vectors, Tensor):
            vectors = vectors.detach().cpu().numpy()
        return np.asarray(vectors, np.float64).reshape(len(images), -1)


@contextmanager
def as_in_training(generator: nn.Module) -> Iterator[None]:
    """The generator in training mode, so that BatchNorm uses the batch; afterwards nothing has changed."""
    modes = [(module, module.training) for module in generator.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in generator.buffers()]
    generator.train()
    try:
        with torch.random.fork_rng(devices=[]):  # dropout draws, too
            yield
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)


def pairwise(x: np.ndarray) -> np.ndarray:
    """Euclidean distances of the rows of x, (N, N)."""
    squares = (x * x).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))


def vendi_score(distances: np.ndarray, bandwidth: float) -> float:
    """The effective number of unlike items: exp of the entropy of the eigenvalues of K / N.

    Friedman & Dieng 2023, Def. 3.1, https://arxiv.org/abs/2210.02410, with the kernel exp(-d^2 / 2 h^2).
    """
    kernel = np.exp(-0.5 * (distances / bandwidth) ** 2)
    values = np.linalg.eigvalsh(kernel / len(kernel))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


# The doctor.

TITLES = {
    "non_finite": "Numbers no longer finite",
    "divergence": "Divergence",
    "mode_collapse": "Mode collapse",
    "vanishing_gradients": "Vanishing gradients: the discriminator is too strong",
    "generator_too_strong": "The generator is too strong",
    "oscillation": "Oscillation",
}


@dataclass(frozen=True)
class Diagnosis:
    """A disease, and what it was told from."""

    disease: str
    step: int
    sentence: str
    evidence: Evidence


KEPT = 240  # looks: the history that rules see; at one look in 50 steps, 12,000 steps
WARM_UP = (
    8  # looks before any rule but non_finite speaks: the first hundreds of steps look like every disease
)
RECENT = 5  # looks over which a vital is smoothed (median, so that one outlier is none)


class History:
    """The vitals of all looks of an attempt so far, the oldest forgotten."""

    def __init__(self, looks: Sequence[Vitals] = ()):
        self.looks = [dict(look) for look in looks]

    def __len__(self) -> int:
        return len(self.looks)

    def add(self, vitals: Vitals) -> None:
        """Another look."""
        self.looks = [*self.looks, dict(vitals)][-KEPT:]

    def of(self, vital: str) -> list[float]:
        """The values of a vital, where it was known."""
        return [look[vital] for look in self.looks if vital in look]

    def now(self, vital: str) -> float:
        """The median of the last looks; not a number where the vital is absent."""
        values = self.of(vital)
        return statistics.median(values[-RECENT:]) if values else math.nan

    def before(self, vital: str) -> list[float]:
        """Values older than those of `now`."""
        return self.of(vital)[:-RECENT]


# Rules: each gives the evidence of a disease at this look, or nothing.

LITTLE_DIVERSITY = 0.3  # of that of images
LOST_DIVERSITY = 0.5  # of the most the run had
SURE = 0.98  # auc of a discriminator that mistakes hardly any pair
FAINT = 0.05  # of G's largest gradient
CHANCE = 0.4  # auc below which D is mistaken more often than not
GROWN = 20.0  # times the earlier median
RESTLESS = 0.5  # movement a look
SWING = 0.15  # of auc


def non_finite(history: History) -> Evidence | None:
    """A vital is not a number, or infinite."""
    wrong = {vital: v for vital, v in history.looks[-1].items() if not math.isfinite(v)}
    return wrong or None


def divergence(history: History) -> Evidence | None:
    """Weights, gradients or losses have grown far beyond what they were, and still grow."""
    found = {}
    for vital in ("weights_d", "weights_g", "grad_d", "grad_g", "loss_d", "loss_g"):
        size = [abs(v) for v in history.of(vital)]
        if len(size) < 2 * RECENT:
            continue
        now, before = statistics.median(size[-RECENT:]), statistics.median(size[:-RECENT])
        if now > GROWN * max(before, 0.1) and now > statistics.median(size[-2 * RECENT : -RECENT]):
            found[vital] = now
    return found or None


def mode_collapse(history: History) -> Evidence | None:
    """The samples are much less diverse than images."""
    now = history.now("diversity")
    return {"diversity": now} if now < LITTLE_DIVERSITY else None


def vanishing_gradients(history: History) -> Evidence | None:
    """D is always right and G learns nothing from it."""
    auc, grad, before = history.now("auc"), history.now("grad_g"), history.before("grad_g")
    if before and auc > SURE and grad < FAINT * max(before):
        return {"auc": auc, "grad_g": grad}
    return None


def generator_too_strong(history: History) -> Evidence | None:
    """D takes samples for images more often than the other way round."""
    auc = history.now("auc")
    return {"auc": auc} if auc < CHANCE else None


def oscillation(history: History) -> Evidence | None:
    """The samples keep moving, and D's advantage swings."""
    moved, auc = history.now("movement"), history.of("auc")[-2 * RECENT :]
    if moved > RESTLESS and statistics.pstdev(auc) > SWING:
        return {"movement": moved, "auc_swing": statistics.pstdev(auc)}
    return None


@dataclass(frozen=True)
class Rule:
    """A disease, what gives it away, and for how many looks in a row it must."""

    sees: Callable[[History], Evidence | None]
    lasts: int
    sentence: str  # with the evidence by name
    warm_up: int = WARM_UP

    @property
    def disease(self) -> str:
        """Named as the function that sees it."""
        return self.sees.__name__


RULES = (
    Rule(non_finite, 1, "Not finite: {all}.", warm_up=0),
    Rule(divergence, 5, "{all}, and growing."),
    Rule(mode_collapse, 8, "The samples are {diversity:.2f} times as diverse as images."),
    Rule(vanishing_gradients, 8, "D is right on {auc:.1%} of pairs."),
    Rule(generator_too_strong, 8, "D is right on only {auc:.1%} of pairs."),
    Rule(oscillation, 8, "Samples move by {movement:.2f} a look."),
)
GONE = 10  # looks without evidence after which a disease that was told may be told again


@dataclass
class Seen:
    """For one disease: looks in a row with evidence, looks in a row without, and whether it was told."""

    present: int = 0
    absent: int = 0
    told: bool = False


class Doctor:
    """Reads the vitals of a training, look by look."""

    def __init__(self) -> None:
        self.history = History()
        self.seen = {rule.disease: Seen() for rule in RULES}

    def examine(self, step: int, vitals: Vitals) -> Diagnosis | None:
        """Another look: a diagnosis where evidence has lasted that was not told; the gravest of several."""
        self.history.add(vitals)
        due = [found for rule in RULES if (found := self._examine(rule, step))]
        if not due:
            return None
        self.seen[due[0].disease].told = True
        return due[0]

    @property
    def healthy(self) -> bool:
        """Whether no rule has evidence at this look, lasting or not, and the warm-up is over."""
        return len(self.history) > WARM_UP and not any(seen.present for seen in self.seen.values())

    def reset(self) -> None:
        """Begin anew, as after a treatment."""
        self.__init__()  # type: ignore[misc]

    def state(self) -> dict[str, Any]:
        """What the next look depends on, in plain values."""
        return {"looks": self.history.looks, "seen": {d: vars(seen).copy() for d, seen in self.seen.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.history = History(state["looks"])
        self.seen = {disease: Seen(**seen) for disease, seen in state["seen"].items()}

    def _examine(self, rule: Rule, step: int) -> Diagnosis | None:
        seen = self.seen[rule.disease]
        evidence = rule.sees(self.history) if len(self.history) > rule.warm_up else None
        seen.present = seen.present + 1 if evidence else 0
        seen.absent = 0 if evidence else seen.absent + 1
        seen.told = seen.told and seen.absent < GONE
        if evidence is None or seen.told or seen.present < rule.lasts:
            return None
        every = ", ".join(f"{vital} {value:.3g}" for vital, value in evidence.items())
        return Diagnosis(rule.disease, step, rule.sentence.format(all=every, **evidence), evidence)
