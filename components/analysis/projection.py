"""Project an image into W: find the w, and the noise inputs, whose image is nearest to it.

Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, App. D, https://arxiv.org/abs/1912.04958.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import avg_pool2d

from components.common.atomic import replacing
from components.common.seeds import derive
from components.data.dataset import to_float, to_uint8
from components.extractors.feature_distance import FeatureDistance, feature_distance
from components.extractors.perceptual_network import NetworkName
from components.metrics.image_pairs import psnr_values
from components.sampling import sheets
from components.sampling.read_image import exact_image
from components.sampling.styles import Progress, Styles
from components.sampling.to_file import save_picture

STEPS = 1000
RATE = 0.1  # Adam's largest
RISE, FALL = 0.05, 0.25  # shares of the steps in which the rate rises and falls
JITTER, QUIET = 0.05, 0.75  # of w, in its deviations, and the share of the steps after which there is none
NOISE_WEIGHT = 1e5  # alpha
PIXEL_WEIGHT = 1.0  # of the mean squared error, which the paper does not have
SMALLEST = 8  # pixels of the noise maps that are compared with their neighbours, but for smaller inputs


@dataclass(frozen=True)
class Projection:
    """A point of W and its noise inputs, and how near its image is to the target."""

    w: Tensor  # (W,)
    noises: Sequence[Tensor]  # (1, size, size) each
    image: np.ndarray  # uint8 (C, H, W)
    distance: float  # perceptual
    psnr: float  # of the pixels, in dB


def rate(step: int, steps: int) -> float:
    """Return the learning rate of a step, from 0: a linear rise, RATE, and a cosine to 0."""
    t = step / steps
    fall = min(1.0, (1 - t) / FALL)
    return RATE * min(1.0, t / RISE) * (0.5 - 0.5 * math.cos(math.pi * fall))


def jitter(step: int, steps: int, sigma: float) -> float:
    """Return the standard deviation of the noise that is added to w in a step."""
    return JITTER * sigma * max(0.0, 1 - step / steps / QUIET) ** 2


def noise_loss(noises: Sequence[Tensor]) -> Tensor:
    """Return the sum of squared correlations of noise maps (1, 1, s, s) with themselves, shifted by a pixel.

    So that they stay noise and no image is painted into them: of all sizes down to SMALLEST, by averages of
    2 x 2 pixels times 2, which have the same variance.
    """
    total = torch.zeros(())
    for noise in noises:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, axis)).mean().square()
            if noise.shape[-1] <= SMALLEST:
                break
            noise = 2 * avg_pool2d(noise, 2)
    return total


def project(
    styles: Styles,
    target: np.ndarray,
    distance: FeatureDistance,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Projection:
    """Find the point of W whose image is nearest to a target.

    Args:
        styles: the generator; the search begins at its mean w, of the class that is set.
        target: uint8 (C, H, W), of the generator's shape.
        distance: what is minimised, with the squared error of pixels.
        steps: updates of w and the noise inputs.
        seed: of the noise.
        progress: called with the number of steps that are done, and of all.
    """
    random = torch.Generator().manual_seed(derive("projection", seed))
    x, synthesis = to_float(target[None]), styles.generator.synthesis
    mean, sigma = styles.mean(styles.label)
    w = mean.clone().requires_grad_()
    noises = [torch.randn(1, 1, s, s, generator=random).requires_grad_() for s in synthesis.noise_sizes]
    optimizer = torch.optim.Adam([w, *noises])

    def image(w: Tensor) -> Tensor:
        made: Tensor = synthesis(w.expand(1, styles.layers, -1), noises)
        return made

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate(step, steps)
        aside = jitter(step, steps, sigma) * torch.randn(w.shape, generator=random)
        y = image(w + aside)
        loss = (
            distance(y, x).sum() + PIXEL_WEIGHT * (y - x).square().mean() + NOISE_WEIGHT * noise_loss(noises)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for noise in noises:
                noise.sub_(noise.mean()).mul_(noise.square().mean().rsqrt())
        progress(step + 1, steps)
    with torch.no_grad():
        projection = image(w)
        pixels = to_uint8(projection).numpy()
        return Projection(
            w.detach(),
            [noise.detach()[0] for noise in noises],
            pixels[0],
            float(distance(projection.clamp(-1, 1), x)),
            float(psnr_values(target[None], pixels)[0]),
        )


def project_to_files(
    styles: Styles,
    path: Path,
    output: Path,
    *,
    network: NetworkName = "auto",
    extractor: Path | None = None,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Path], str]:
    """Project a picture, and write the picture of target and projection, and the point of W beside it.

    Args:
        styles: the generator.
        path: of the target.
        output: a .png or .webp file; the point is in the file of the same name with .safetensors.
        network: see `feature_distance`.
        extractor: folder of the extractor of a run; None: there is none.
        steps: see `project`.
        seed: see `project`.
        progress: see `project`.

    Returns:
        The files, and how near the projection is, as a sentence.

    Raises:
        InputError: the target has another shape, or the network is not here.
    """
    target = exact_image(path, styles.card, styles.model.background)
    distance = feature_distance(network, styles.card, extractor)
    nearest = project(styles, target, distance, steps=steps, seed=seed, progress=progress)
    about = {
        "weights": styles.weights,
        "network": distance.name,
        "distance": f"{nearest.distance:.6g}",
        "steps": str(steps),
        "seed": str(seed),
    }
    tensors = {"w": nearest.w, **{f"noise.{i}": noise for i, noise in enumerate(nearest.noises)}}
    point = output.with_suffix(".safetensors")
    with replacing(point) as temporary:
        temporary.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}, about))
    save_picture(sheets.grid(np.stack([target, nearest.image]), 2), output)
    measured = (
        "mean squared error" if distance.name == "pixels" else f"distance in the features of {distance.name}"
    )
    return [output, point], f"{measured} {nearest.distance:.4f}, PSNR {nearest.psnr:.1f} dB"
