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
    """Return the errors of at most `most` validation images in ascending order, as stored with a model."""
    rows = np.arange(min(len(validation), most))
    labels = None if validation.labels is None else np.asarray(validation.labels[rows])
    errors = np.sort(errors_of(generator, validation.images[rows], labels, device))
    values = [float(f"{error:.6g}") for error in errors]
    return ReconstructionErrors(measure=MEASURE, split="validation", n=len(rows), values=values)


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
