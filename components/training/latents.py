"""The job that encodes images once, for families that train on latents."""

from __future__ import annotations

import io
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from components.common.chunks import CHUNK
from components.common.errors import RunError
from components.common.threads import using_threads
from components.data.dataset import open_split, to_float
from components.families.artifact import load_model
from components.training.request import EncodeRequest


class LatentEncoder(Protocol):
    """A model that encodes images."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, (N, c, h, w) each."""


@torch.no_grad()
def encode(job: EncodeRequest) -> None:
    """Store mean and log variance of some images as float16 (n, 2, c, h, w).

    Images are encoded in chunks cut at fixed positions, so the bits do not depend on the number of workers.

    Raises:
        RunError: the latents are not finite in float16.
    """
    store, name = job.store, f"{job.out}/{job.split}/latents-{job.number:05d}.npy"
    if store.exists(name):
        return
    assert job.start % CHUNK == 0, "a range begins with a chunk"
    with using_threads(job.threads):
        generator, _, _ = load_model(store.local_copy(job.model))
        encoder = cast(LatentEncoder, generator.to(job.device))
        images = open_split(store.local_copy(job.data), job.split).images
        parts = []
        for first in range(job.start, job.start + job.n, CHUNK):
            rows = np.arange(first, min(first + CHUNK, job.start + job.n))
            encoded = torch.stack(encoder.encode(to_float(images[rows]).to(job.device)), 1)
            parts.append(encoded.half().cpu().numpy())
    array = np.concatenate(parts)
    if not np.isfinite(array).all():
        raise RunError(f"{job.model} encodes images as numbers outside float16's range; raise its kl_weight")
    file = io.BytesIO()
    np.save(file, array)
    store.write_bytes(name, file.getvalue())
