"""A job that loads an exported model and draws its published samples again."""

from __future__ import annotations

import numpy as np

from components.common.errors import InputError, RunError
from components.common.seeds import derive
from components.common.threads import using_threads
from components.evaluation.requests import ReproduceRequest
from components.evaluation.samples import EvaluationInputs, open_model
from components.families.catalogue import conditions
from components.records.gate import Reproduction
from components.sampling import generate, sheets
from components.sampling.conditions import target_images
from models.family import Generator

SAMPLES = "samples.webp"
SPLIT = "validation"  # of the conditions of published samples


def reproduce(job: ReproduceRequest) -> Reproduction:
    """Return the difference between the published samples and those that the exported model draws now."""
    with using_threads(job.threads):
        try:
            generator, inputs = open_model(
                job.store, job.model, job.data, job.captions, SPLIT, device=job.device
            )
            images = draw(job, generator, inputs)
        except (InputError, RunError) as error:
            return Reproduction(error=str(error))
    picture = sheets.decode_webp(job.store.read_bytes(f"{job.model}/{SAMPLES}"), inputs.card.channels)
    published = sheets.ungrid(picture, inputs.card.resolution, len(images))
    if published.shape != images.shape:
        return Reproduction(error=f"{len(published)} samples were published, and {len(images)} are drawn")
    difference = np.abs(published.astype(np.int16) - images.astype(np.int16)).mean()
    return Reproduction(images=len(images), difference=float(difference))


def draw(job: ReproduceRequest, generator: Generator, inputs: EvaluationInputs) -> np.ndarray:
    """Draw the samples with the seeds and conditions of the training's grids, uint8 (N, C, H, W)."""
    split, rows = inputs.split, sheets.grid_rows(inputs.split, job.sample_images)
    labelled = split.labels is not None and "label" in conditions(inputs.family, inputs.config, inputs.card)
    return generate.draw(
        generator,
        inputs.card,
        n=len(rows),
        seed=derive(job.seed, "grid"),
        labels=split.labels[rows] if labelled and split.labels is not None else None,
        text=None if split.text is None else split.text[rows],
        device=job.device,
        **target_images(inputs.family, split, rows),
    )
