"""Averages of any length, made after training from snapshots of two.

Karras et al. 2024, Analyzing and Improving the Training Dynamics of Diffusion Models, Sec. 3 and App. C,
https://arxiv.org/abs/2312.02696. Written from the equations. Ours: the weights of the solution add up to 1.

t: steps so far. p: the weight that an average gives to the weights of every earlier moment, its profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from components.training import checkpoint
from components.training.checkpoint import CheckpointId
from components.training.state import TracksState
from models.family import Terms

TRACKED = (0.05, 0.10)  # the paper's: two are enough, one long and one short


# Profiles


def relative_length(gamma: float) -> float:
    """Sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3))): the profile's standard deviation over t, sigma_rel."""
    return float(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))))


@cache
def exponent(length: float) -> float:
    """The gamma of a relative length: the root > 0 of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / length^2.

    The cubic's coefficients change sign once, so there is exactly one.
    """
    u = length**-2
    roots = np.roots([1, 7, 16 - u, 12 - u])
    return float(max(root.real for root in roots if abs(root.imag) < 1e-9 * abs(root)))


@dataclass(frozen=True)
class Profile:
    """p(tau) = (gamma + 1) tau^gamma / end^(gamma + 1) on [0, end]."""

    end: float  # steps
    gamma: float


def inner(a: Profile, b: Profile) -> float:
    """The integral of p_a p_b: (g_a + 1)(g_b + 1) / (g_a + g_b + 1) (t_a / t_b)^g_b / t_b, if t_a <= t_b."""
    a, b = sorted((a, b), key=lambda p: p.end)
    size = (a.gamma + 1) * (b.gamma + 1) / (a.gamma + b.gamma + 1)
    return size * (a.end / b.end) ** b.gamma / b.end


def solve(stored: Sequence[Profile], wanted: Profile) -> tuple[np.ndarray, float]:
    """The weights x of stored profiles that come closest to the wanted one, and how close.

    Least squares min |sum x_i p_i - p|^2 subject to sum x_i = 1: an average of weights that never moved is
    those weights. Without it the little that is missing takes its share off every weight, which with few
    snapshots is most of the error.

    Returns:
        x, and |sum x_i p_i - p| / |p|.
    """
    n = len(stored)
    system = np.ones((n + 1, n + 1))  # [[A, 1], [1, 0]], the conditions of Lagrange
    system[:n, :n] = [[inner(a, b) * wanted.end for b in stored] for a in stored]
    system[n, n] = 0
    target = np.array([*(inner(a, wanted) * wanted.end for a in stored), 1.0])
    x = np.linalg.lstsq(system, target, rcond=None)[0][:n]  # many snapshots are nearly alike
    whole = inner(wanted, wanted) * wanted.end
    left = whole - 2 * target[:n] @ x + x @ system[:n, :n] @ x
    return x, float(np.sqrt(max(left, 0.0) / whole))


# Tracks


def decay(step: int, gamma: float) -> float:
    """(1 - 1/t)^(gamma + 1), the weight of the old average: the first step forgets the initial weights.

    Every step then has the integral of the profile over it as its weight, so that sums are integrals.
    """
    return (1 - 1 / step) ** (gamma + 1)


class PowerFunctionEMAs:
    """Two averages of a generator's parameters whose lengths grow with training."""

    def __init__(self, generator: nn.Module):
        self.parameters: dict[float, Terms] = {
            length: {name: p.detach().clone() for name, p in generator.named_parameters()}
            for length in TRACKED
        }
        # Those of this course of training: after a treatment, what is behind it does not count.
        self.moments: list[CheckpointId] = []

    @torch.no_grad()
    def update(self, generator: nn.Module, step: int) -> None:
        """Move both towards `generator`, once per step; `step` counts from 1."""
        now = [p.detach() for p in generator.parameters()]
        for length, track in self.parameters.items():
            torch._foreach_lerp_(list(track.values()), now, 1 - decay(step, exponent(length)))

    def mark(self, attempt: int, step: int) -> CheckpointId:
        """Count a snapshot of this moment among those to make averages from."""
        self.moments.append((attempt, step))
        return self.moments[-1]

    def state(self) -> TracksState:
        """All there is."""
        return {"moments": list(self.moments), "parameters": flat(self.parameters)}

    @torch.no_grad()
    def load_state(self, state: TracksState) -> None:
        """Go on from what `state` returned."""
        self.moments = [(attempt, step) for attempt, step in state["moments"]]
        for name, mine in flat(self.parameters).items():
            mine.copy_(state["parameters"][name])


def averages(
    lengths: Sequence[float], moments: Sequence[CheckpointId], snapshots: Iterable[Terms], end: int
) -> list[tuple[Terms, float]]:
    """The parameters of averages of `lengths` over `end` steps, each with what `solve` says of its profile.

    Args:
        lengths: relative ones.
        moments: of the snapshots.
        snapshots: flat ones, in that order; read one at a time, since together they may be large.
        end: steps of training.
    """
    stored = [Profile(step, exponent(length)) for _, step in moments for length in TRACKED]
    solved = [solve(stored, Profile(end, exponent(length))) for length in lengths]
    sums: list[Terms] = [{} for _ in lengths]
    for i, snapshot in enumerate(snapshots):
        for j, track in enumerate(TRACKED):
            for (x, _), total in zip(solved, sums, strict=True):
                _add(total, of_track(snapshot, track), float(x[i * len(TRACKED) + j]))
    return [(total, missed) for total, (_, missed) in zip(sums, solved, strict=True)]


def _add(total: Terms, parameters: Terms, weight: float) -> None:
    for name, value in parameters.items():
        total[name] = total[name].add_(value, alpha=weight) if name in total else value * weight


# Snapshots on disk


def name(moment: CheckpointId) -> str:
    """File name of the tracks as they were at a moment."""
    attempt, step = moment
    return f"ema/step-{step:07d}{checkpoint.suffix(attempt)}.safetensors"


def flat(tracks: dict[float, Terms]) -> Terms:
    """Both tracks in one dictionary, names led by the length."""
    return {f"{length:.2f}/{name}": p for length, track in tracks.items() for name, p in track.items()}


def of_track(snapshot: Terms, length: float) -> Terms:
    """The parameters of one track in a flat snapshot."""
    start = f"{length:.2f}/"
    return {name.removeprefix(start): p for name, p in snapshot.items() if name.startswith(start)}


def encode(snapshot: Terms) -> bytes:
    """The bytes of a flat snapshot, in float32.

    Weights of a solution have both signs and, for short lengths, magnitudes that add up to ten: they would
    raise float16's rounding to several percent of what tells an average from the last weights.
    """
    return save({name: _plain(p) for name, p in snapshot.items()})


def decode(data: bytes) -> Terms:
    """The flat snapshot in `data`, on the CPU."""
    return load(data)


def _plain(p: Tensor) -> Tensor:
    return p.detach().float().cpu().contiguous()
