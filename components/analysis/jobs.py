"""Jobs that analyse the latent space of a trained model: one view of one model each (views.py).

A view that is done is not made again when an interrupted stage goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.analysis.view import Judge
from components.analysis.views import Subject, look
from components.common.threads import using_threads
from components.data.card import DataCard
from components.data.dataset import open_split
from components.evaluation import evaluate
from components.evaluation.jobs import open_reference
from components.evaluation.reference import Judged, Reference
from components.evaluation.requests import Use
from components.families.artifact import load_model
from components.families.catalogue import conditions
from components.sampling import sheets
from components.store import Store

SPLITS = ("train", "validation", "test")


def examine(job: Use) -> dict[str, Any] | None:
    """Make a view and leave its pictures; what is to be told of it, None where it does not apply."""
    store, part = job.places.open(), f"{job.places.parts}/{job.view}.json"
    if store.exists(part):
        done: dict[str, Any] | None = store.read_json(part)["view"]
        return done
    with using_threads(job.places.threads):
        view = look(job.view, subject(job, store))
    described = None if view is None else view.described()
    if view is not None and described is not None:
        for told, picture in zip(described["pictures"], view.pictures, strict=True):
            grid = sheets.grid(picture.images, picture.columns)
            store.write_bytes(f"{job.out}/{told['path']}", sheets.encode_webp(grid))
    store.write_json(part, {"view": described})
    return described


def subject(job: Use, store: Store) -> Subject:
    """What the views look at."""
    generator, card, described = load_model(store.local_copy(job.model))
    folder = store.local_copy(job.places.data)
    detectors = {
        name: load_model(store.local_copy(model))[0].to(job.device) for name, model in job.detectors.items()
    }
    return Subject(
        generator.to(job.device),
        card,
        {name: open_split(folder, name) for name in SPLITS},
        names=DataCard.read(folder).labels,
        conditional="label" in conditions(described["family"], described["config"], card),
        seed=job.seed,
        device=job.device,
        detectors=detectors,
        judge=judge_of(open_reference(store, job.places)),
    )


def judge_of(reference: Reference) -> Judge:
    """What judges images that are not the family's samples, by the same measures."""

    def judge(images: np.ndarray, labels: np.ndarray | None) -> dict[str, dict[str, Any]]:
        metrics = evaluate.judge(Judged(reference.extractor(images), labels), reference)
        return {name: metric.to_json() for name, metric in metrics.items()}

    return judge
