"""Post-hoc EMA: averages of any length, made after training from snapshots of two tracked averages.

Karras et al. 2024, Analyzing and Improving the Training Dynamics of Diffusion Models, Sec. 3 and App. C,
https://arxiv.org/abs/2312.02696. Written from the equations. Different here: the weights of the solution add
up to 1.

t: steps so far. p: the profile of an average, its weights of the parameters of each earlier step.
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

TRACKED = (0.05, 0.10)  # sigma_rel of the tracked averages, as in the paper


# Profiles


def relative_length(gamma: float) -> float:
    """Return sigma_rel = sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3))), the profile's deviation over t."""
    return float(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))))


@cache
def exponent(length: float) -> float:
    """Return gamma for a relative length: the root > 0 of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / length^2.

    The coefficients of the cubic change sign once, so it has exactly one such root.
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
    """The integral of p_a p_b: (g_a + 1)(g_b + 1) / (g_a + g_b + 1) (t_a/t_b)^g_b / t_b, t_a <= t_b."""
    a, b = sorted((a, b), key=lambda p: p.end)
    factor = (a.gamma + 1) * (b.gamma + 1) / (a.gamma + b.gamma + 1)
    return factor * (a.end / b.end) ** b.gamma / b.end


def solve(stored: Sequence[Profile], target: Profile) -> tuple[np.ndarray, float]:
    """Return the weights x of the stored profiles that best approximate the target profile, and the error.

    Least squares min |sum x_i p_i - p|^2 subject to sum x_i = 1, so that the average of constant parameters
    is these parameters. Without the constraint the weights sum to less than 1 and shrink all parameters,
    which is most of the error with few snapshots.

    Returns:
        x, and |sum x_i p_i - p| / |p|.
    """
    n = len(stored)
    system = np.ones((n + 1, n + 1))  # [[A, 1], [1, 0]], with a Lagrange multiplier
    system[:n, :n] = [[inner(a, b) * target.end for b in stored] for a in stored]
    system[n, n] = 0
    right = np.array([*(inner(a, target) * target.end for a in stored), 1.0])
    x = np.linalg.lstsq(system, right, rcond=None)[0][:n]  # nearly singular with many snapshots
    square = inner(target, target) * target.end  # |p|^2
    residual = square - 2 * right[:n] @ x + x @ system[:n, :n] @ x
    return x, float(np.sqrt(max(residual, 0.0) / square))


# Tracked averages


def decay(step: int, gamma: float) -> float:
    """Return (1 - 1/t)^(gamma + 1), the weight of the old average; 0 at the first step.

    The weight of each step is then exactly the integral of the profile over that step.
    """
    return (1 - 1 / step) ** (gamma + 1)


class PowerFunctionEMAs:
    """The two tracked averages of a generator's parameters."""

    def __init__(self, generator: nn.Module):
        self.parameters: dict[float, Terms] = {
            length: {name: p.detach().clone() for name, p in generator.named_parameters()}
            for length in TRACKED
        }
        # Of the snapshots so far; a treatment that goes back to a step drops the later ones.
        self.moments: list[CheckpointId] = []

    @torch.no_grad()
    def update(self, generator: nn.Module, step: int) -> None:
        """Move both averages towards `generator`, once per step; `step` counts from 1."""
        trained = [p.detach() for p in generator.parameters()]
        for length, track in self.parameters.items():
            torch._foreach_lerp_(list(track.values()), trained, 1 - decay(step, exponent(length)))

    def mark(self, attempt: int, step: int) -> CheckpointId:
        """Register a snapshot at this step and return its id."""
        self.moments.append((attempt, step))
        return self.moments[-1]

    def state(self) -> TracksState:
        """Return the averages and the ids of snapshots, for a checkpoint."""
        return {"moments": list(self.moments), "parameters": flat(self.parameters)}

    @torch.no_grad()
    def load_state(self, state: TracksState) -> None:
        """Continue from the result of `state`."""
        self.moments = [(attempt, step) for attempt, step in state["moments"]]
        for name, parameter in flat(self.parameters).items():
            parameter.copy_(state["parameters"][name])


def averages(
    lengths: Sequence[float], checkpoint_ids: Sequence[CheckpointId], snapshots: Iterable[Terms], end: int
) -> list[tuple[Terms, float]]:
    """Return the parameters of averages over `end` steps, each with the error of its profile.

    Args:
        lengths: sigma_rel of each average.
        checkpoint_ids: the ids of the snapshots.
        snapshots: flat snapshots in that order; read one at a time, since together they may be large.
        end: steps of training.
    """
    stored = [Profile(step, exponent(length)) for _, step in checkpoint_ids for length in TRACKED]
    solved = [solve(stored, Profile(end, exponent(length))) for length in lengths]
    sums: list[Terms] = [{} for _ in lengths]
    for i, snapshot in enumerate(snapshots):
        for j, track in enumerate(TRACKED):
            for (x, _), total in zip(solved, sums, strict=True):
                _add(total, of_track(snapshot, track), float(x[i * len(TRACKED) + j]))
    return [(total, error) for total, (_, error) in zip(sums, solved, strict=True)]


def _add(total: Terms, parameters: Terms, weight: float) -> None:
    for name, value in parameters.items():
        total[name] = total[name].add_(value, alpha=weight) if name in total else value * weight


# Snapshots on disk


def name(checkpoint_id: CheckpointId) -> str:
    """Return the file name of the snapshot of the tracked averages at a step."""
    attempt, step = checkpoint_id
    return f"ema/step-{step:07d}{checkpoint.suffix(attempt)}.safetensors"


def flat(tracks: dict[float, Terms]) -> Terms:
    """Return both averages in one dictionary, with names prefixed by the length."""
    return {f"{length:.2f}/{name}": p for length, track in tracks.items() for name, p in track.items()}


def of_track(snapshot: Terms, length: float) -> Terms:
    """Return the parameters of one average in a flat snapshot."""
    prefix = f"{length:.2f}/"
    return {name.removeprefix(prefix): p for name, p in snapshot.items() if name.startswith(prefix)}


def encode(snapshot: Terms) -> bytes:
    """Return the bytes of a flat snapshot, in float32.

    Weights of a solution have both signs and, for short lengths, magnitudes that sum to ten. They would
    amplify float16's rounding to several percent of the difference between an average and the last weights.
    """
    return save({name: _plain(p) for name, p in snapshot.items()})


def decode(data: bytes) -> Terms:
    """Return the flat snapshot in `data`, on the CPU."""
    return load(data)


def _plain(p: Tensor) -> Tensor:
    return p.detach().float().cpu().contiguous()
