"""Measure how exactly the samples of a generator move with its input, and draw samples that move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from components.common.chunks import CHUNK
from components.common.seeds import derive
from components.evaluation.samples import EvaluationInputs
from components.metrics.equivariance import rotation_errors, shift_errors
from components.sampling import generate
from models.family import Batch, Generator, Motion, Noise

SHIFT, ROTATION = "eq_t", "eq_r"
FARTHEST = 1 / 8  # of shifts, in image sides; App. E.1 of Karras et al. 2021


def can_move(generator: Generator) -> bool:
    """Whether the input of a generator can be rotated and shifted."""
    return bool(getattr(generator, "can_move", False))


def repeated(noise: Noise) -> Noise:
    """Return noise that continues with the same numbers, and independently."""
    copy = Noise([0] * len(noise), noise.device)
    for generator, other in zip(copy.generators, noise.generators, strict=True):
        generator.set_state(other.get_state())
    return copy


class MotionErrors(Generator):
    """A generator that records the errors of its samples under random motions, as it samples.

    Motions are random numbers of the seed and the position of an image.
    """

    def __init__(self, generator: Generator, seed: int, start: int):
        super().__init__()
        self.generator, self.seed, self.next = generator, seed, start
        self.shifts: list[np.ndarray] = []  # (N,)
        self.rotations: list[np.ndarray] = []

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The samples, not moved."""
        n, moved = len(noise), cast(Any, self.generator).moved
        random = Noise([derive(self.seed, "motion", self.next + i) for i in range(n)], noise.device)
        self.next += n
        numbers = random.uniform(3)
        zero = torch.zeros(n, device=noise.device)
        still: Tensor = moved(batch, repeated(noise), Motion(zero, torch.stack([zero, zero], 1)))
        side = still.shape[-1]
        pixels = ((2 * numbers[:, :2] - 1) * FARTHEST * side).round()
        there = moved(batch, repeated(noise), Motion(zero, pixels / side))
        self.shifts.append(shift_errors(still, there, pixels))
        angle = 2 * math.pi * numbers[:, 2]
        there = moved(batch, repeated(noise), Motion(angle, torch.stack([zero, zero], 1)))
        self.rotations.append(rotation_errors(still, there, angle))
        return still.clamp(-1, 1)


def motion_errors(
    generator: Generator, inputs: EvaluationInputs, *, n: int, seed: int, start: int, device: str
) -> dict[str, np.ndarray]:
    """Return the squared errors of moved samples [start, start + n), (n,) by metric.

    Each is sampled three times, so only the first chunk of the range is; the others are NaN.
    """
    recorder, first = MotionErrors(generator, seed, start), min(n, CHUNK)
    settings: dict[str, Any] = {"seed": seed, "start": start, "device": device, **inputs.conditions}
    batch = CHUNK if start else first  # of a few images no whole chunk is drawn and moved
    generate.draw(recorder, inputs.card, n=first, batch=batch, **settings)
    result = {}
    for name, errors in ((SHIFT, recorder.shifts), (ROTATION, recorder.rotations)):
        result[name] = np.full(n, np.nan)
        result[name][:first] = np.concatenate(errors)[:first]
    return result


class MotionGenerator(Generator):
    """A generator that records its samples under some motions, clipped."""

    def __init__(self, generator: Generator, motions: Sequence[tuple[float, float]]):
        super().__init__()
        self.generator, self.motions = generator, motions  # of rotation in radians and shift to the right
        self.frames: Tensor = torch.empty(0)  # (frames, N, C, H, W)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The samples under the last motion."""
        frames, moved = [], cast(Any, self.generator).moved
        for angle, right in self.motions:
            at = torch.full((len(noise),), angle, device=noise.device)
            shift = torch.stack([torch.full_like(at, right), torch.zeros_like(at)], 1)
            frames.append(moved(batch, repeated(noise), Motion(at, shift)))
        self.frames = torch.stack(frames).clamp(-1, 1)
        return self.frames[-1]
