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

import itertools
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

# Of the kernel, over the median distance of images. Less blurs classes in 64 dimensions, where distances of
# unlike images hardly differ; more blurs modes in two. So one class of ten digits gives 0.3, three 0.5.
BANDWIDTH = 0.4


class Probe:
    """Fixed-seed samples of a generator in training, measured in feature space.

    Args:
        card: the images' shape and classes; samples of all classes are drawn in turn.
        features: what the measures look at.
        real: images (N, C, H, W) in [-1, 1], of which at most `n` say how diverse samples should be.
        n: samples; fewer where there are fewer images, since diversity depends on how many are looked at.
        seed: of the noise and of the choice among the images.
    """

    def __init__(self, card: Card, features: Features, real: Tensor, n: int = 128, seed: int = 0):
        self.card, self.features, self.n, self.seed = card, features, min(n, len(real)), seed
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

    def now(self, vital: str) -> float:
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
    return {vital: history.now(vital) for vital in vitals if history.of(vital)}


def spread(values: Sequence[float]) -> float:
    """The standard deviation that normal values with these quartiles have; an outlier does not move it."""
    low, _, high = statistics.quantiles(values)
    return (high - low) / 1.349


def median(values: Sequence[float]) -> float:
    """The median; not a number of nothing."""
    return statistics.median(values) if values else math.nan


# Rules: each gives the evidence of a disease at this look, or nothing. Where a comment names no paper, a
# number lies between what runs that reach most modes of the rings and grids of Gaussians show and what
# provoked ones do.


def non_finite(history: History) -> Evidence | None:
    """A vital is not a number, or infinite."""
    return {vital: v for vital, v in history.last[-1].items() if not math.isfinite(v)} or None


# Times the first level; of healthy runs, weights double, losses grow sevenfold, gradients thirtyfold at most.
RUN_OFF = {
    **dict.fromkeys(("weights_d", "weights_g"), 20.0),
    **dict.fromkeys(("loss_d", "loss_g", "grad_d", "grad_g"), 1000.0),
}


def run_off(history: History) -> Evidence | None:
    """Weights, losses or gradients are orders of magnitude from where they began."""
    found = {
        vital: history.now(vital)
        for vital, times in RUN_OFF.items()
        if abs(history.now(vital)) > times * max(abs(history.early(vital)), 0.1)
    }
    return found or None


THROWN_LOSS = 10.0  # times its median before: far worse than guessing, on the mean between two looks
THROWN_WEIGHTS = 1.25  # times what they were before; healthy ones grow by a tenth, as a rule
THROWN_WITHIN = 12  # looks ago


def thrown(history: History) -> Evidence | None:
    """D's loss leapt, and since then its weights have stayed elsewhere: its steps are too large."""
    losses, weights = history.of("loss_d"), history.of("weights_d")
    late = losses[-THROWN_WITHIN:]
    if len(losses) != len(weights) or len(losses) < 2 * THROWN_WITHIN:
        return None
    leap = len(losses) - len(late) + max(range(len(late)), key=late.__getitem__)
    usual = abs(median(losses[:leap]))
    grown = weights[-1] / weights[leap - 2]
    if losses[leap] > THROWN_LOSS * max(usual, 0.02) and grown > THROWN_WEIGHTS:
        return {"loss_d": losses[leap], "usual_loss_d": usual, "weights_d_grown": grown}
    return None


ALIKE, FEW = 0.2, 0.6  # diversity: one mode of eight gives 0.15, half of them 0.56, all but one 0.93
STILL = 0.2  # movement in 50 steps; converged points 0.08, digits in healthy training 0.5, wandering points 1


def alike(history: History) -> Evidence | None:
    """The samples are hardly more diverse than one image, be it always another one."""
    return levels(history, "diversity", "movement") if history.now("diversity") < ALIKE else None


def few(history: History) -> Evidence | None:
    """The samples show a part of what images show."""
    return levels(history, "diversity", "movement") if history.now("diversity") < FEW else None


def few_and_still(history: History) -> Evidence | None:
    """As `few`, and they no longer move, so that waiting will not help."""
    return few(history) if history.now("movement") < STILL else None


SURE = 0.98  # auc; a discriminator that sees batches is as sure and teaches well, so this is not enough
FAINT = 0.05  # of the largest gradient so far


def vanishing_gradients(history: History) -> Evidence | None:
    """D is always right and G's gradient has all but gone. Arjovsky & Bottou 2017, Thm. 2.4."""
    auc, grad = history.now("auc"), history.now("grad_g")
    most = max(history.of("grad_g"), default=math.nan)
    if auc > SURE and grad < FAINT * most:
        return {"auc": auc, "grad_g": grad, "largest_grad_g": most}
    return None


FOOLED = 0.4  # auc; healthy games stay above 0.46


def generator_too_strong(history: History) -> Evidence | None:
    """D takes samples for images more often than not: it lags behind G."""
    return levels(history, "auc", "loss_d") if history.now("auc") < FOOLED else None


SWING = 0.1  # of auc; healthy 0.01 to 0.06, absurd momenta 0.1 to 0.25
SWINGS = 12  # looks


def oscillation(history: History) -> Evidence | None:
    """D's advantage swings to and fro, and the samples move with it."""
    auc, moved = history.of("auc", SWINGS + 1), history.now("movement")
    if len(auc) <= SWINGS or moved < STILL / 2:
        return None
    # A trend spreads values, but not differences, which spread sqrt(2) times as far as independent values.
    to_and_fro = spread([b - a for a, b in itertools.pairwise(auc)]) / math.sqrt(2)
    swing = min(spread(auc), to_and_fro)
    return {"auc_swing": swing, **levels(history, "auc", "movement")} if swing > SWING else None


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
        "D's loss leapt from {usual_loss_d:.3g} to {loss_d:.3g}, and its weights are {weights_d_grown:.2g} "
        "times what they were.",
    ),
    Rule(
        "vanishing_gradients",
        vanishing_gradients,
        8,
        "D is right about {auc:.1%} of pairs; G's gradient fell from {largest_grad_g:.2g} to {grad_g:.2g}.",
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


class Doctor:
    """Reads the vitals of a training, look by look."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a treatment."""
        self.history = History()
        self.lasting = {rule.sees.__name__: 0 for rule in RULES}  # looks in a row with evidence
        self.told: dict[str, int] = {}  # disease -> looks since there was evidence of it

    def examine(self, step: int, vitals: Vitals) -> Diagnosis | None:
        """Another look: a diagnosis where evidence has lasted that was not told; the gravest of several."""
        self.history.add(vitals)
        seen = [(rule, evidence) for rule in RULES if (evidence := self._evidence(rule))]
        present = {rule.disease for rule, _ in seen}
        self.told = {
            d: 0 if d in present else n + 1 for d, n in self.told.items() if d in present or n < GONE
        }
        for rule, evidence in seen:
            if self.lasting[rule.sees.__name__] >= rule.lasts and rule.disease not in self.told:
                self.told[rule.disease] = 0
                return Diagnosis(rule.disease, step, worded(rule, evidence), evidence)
        return None

    @property
    def healthy(self) -> bool:
        """Whether no rule has evidence at this look, lasting or not, and the warm-up is over."""
        return self.history.count > WARM_UP and not any(self.lasting.values())

    def state(self) -> dict[str, Any]:
        """What the next look depends on, in plain values."""
        return {"history": vars(self.history).copy(), "lasting": dict(self.lasting), "told": dict(self.told)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.history = History(**state["history"])
        self.lasting, self.told = dict(state["lasting"]), dict(state["told"])

    def _evidence(self, rule: Rule) -> Evidence | None:
        """What the rule sees at this look, which is counted; any number may stop being finite at once."""
        speaks = self.history.count > WARM_UP or rule.sees is non_finite
        evidence = rule.sees(self.history) if speaks else None
        name = rule.sees.__name__
        self.lasting[name] = self.lasting[name] + 1 if evidence else 0
        return evidence


def worded(rule: Rule, evidence: Evidence) -> str:
    """The rule's sentence with its evidence."""
    every = ", ".join(f"{vital} {value:.3g}" for vital, value in evidence.items())
    return rule.sentence.format(all=every, **evidence)
