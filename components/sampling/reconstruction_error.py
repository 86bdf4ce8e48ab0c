"""The reconstruction error of images, as the anomaly score of a model that encodes images.

The threshold is a quantile of the errors of validation images, on which the model was not trained, although
they may have selected its weights. They are stored with the model, so that a folder can be scored without the
training data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from components.common.chunks import CHUNK
from components.data.dataset import Split, to_float, to_uint8
from components.metrics.image_pairs import squared_errors
from components.records.model import ReconstructionErrors
from components.sampling.generate import eval_mode
from models.family import Batch

MEASURE = "mean square error of pixels in [0, 1]"


def validation_errors(
    generator: nn.Module, validation: Split, device: str, most: int
) -> ReconstructionErrors:
    """Return the errors of at most `most` validation images in ascending order, as stored with a model.

    With them are roughness and contrast of the images: an error says little of noise and of plain images.
    """
    rows = np.arange(min(len(validation), most))
    labels = None if validation.labels is None else np.asarray(validation.labels[rows])
    images = validation.images[rows]
    errors = errors_of(generator, images, labels, device)
    values, rough, spread = (
        short(x[np.argsort(errors)]) for x in (errors, roughness(images), contrast(images))
    )
    return ReconstructionErrors(
        measure=MEASURE, split="validation", n=len(rows), values=values, roughness=rough, contrast=spread
    )


def short(values: np.ndarray) -> list[float]:
    """Return numbers as they are stored."""
    return [float(f"{value:.6g}") for value in values]


def roughness(images: np.ndarray) -> np.ndarray:
    """Return the mean square differences (N,) of neighbouring pixels in [0, 1] of uint8 (N, C, H, W)."""
    squares = []
    for image in images:
        pixels = image.astype(np.float64) / 255
        squares.append(sum(np.square(np.diff(pixels, axis=axis)).mean() for axis in (1, 2)))
    return np.array(squares)


def contrast(images: np.ndarray) -> np.ndarray:
    """Return the variances (N,) of pixels in [0, 1] within the channels of uint8 (N, C, H, W)."""
    return np.array([(image.astype(np.float64) / 255).var((1, 2)).mean() for image in images])


@torch.no_grad()
def errors_of(
    generator: Any, images: np.ndarray, labels: np.ndarray | None = None, device: str = "cpu"
) -> np.ndarray:
    """Return the errors (N,) of uint8 images (N, C, H, W); class-conditional models need `labels`."""
    errors = []
    with eval_mode(generator):
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            label = None if labels is None else torch.from_numpy(labels[start : start + CHUNK])
            batch = Batch(len(chunk), to_float(chunk), label).to(device)
            reconstruction = to_uint8(generator.picture(generator.code(batch), batch)).cpu().numpy()
            errors.append(squared_errors(chunk, reconstruction))
    return np.concatenate(errors)
