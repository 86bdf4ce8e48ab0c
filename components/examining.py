"""What a worker is sent to do to find out what codes are good for: one view of one model (components/uses).

A view that is done is not made again when an interrupted stage goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components import evaluation, sampling
from components.data.card import DataCard
from components.data.dataset import open_split
from components.evaluation import Judged, Metric, Reference
from components.jobs import conditions, load_model
from components.judging import open_reference
from components.orders import Use
from components.storage import Store
from components.threads import using_threads
from components.uses import Subject, look
from components.uses.view import Judge

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
            grid = sampling.grid(picture.images, picture.columns)
            store.write_bytes(f"{job.out}/{told['path']}", sampling.encode_webp(grid))
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

    def judge(images: np.ndarray, labels: np.ndarray | None) -> dict[str, Metric]:
        return evaluation.judge(Judged(reference.extractor(images), labels), reference)

    return judge
