"""Jobs that analyse the latent space of a trained model: one view of one model each (views.py).

An interrupted stage continues with the views that are not finished.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from components.analysis import views
from components.analysis.view import Judge, Subject
from components.common.memory import LastValue
from components.common.threads import using_threads
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.evaluation import evaluate
from components.evaluation.jobs import open_reference
from components.evaluation.reference import EvaluationSample, Reference
from components.evaluation.requests import AnalysisRequest
from components.families.artifact import load_model
from components.families.catalogue import conditions
from components.records.analysis import View, ViewResult
from components.records.evaluation import Metrics
from components.sampling import sheets
from components.store import Store

SPLITS = ("train", "validation", "test")

OPENED = LastValue[Subject]()  # whose codes the views of a model share


def make_view(job: AnalysisRequest) -> View | None:
    """Make a view and save its pictures; None where the view does not apply."""
    store, part = job.places.store, f"{job.places.parts}/{job.view}.json"
    if store.exists(part) and (finished := ViewResult.read(store.read_json(part))):
        return finished.view
    with using_threads(job.places.threads):
        subject = OPENED.get(repr(replace(job, view="")), lambda: open_subject(job, store))
        view = views.make_view(job.view, subject)
    record = None if view is None else view.record()
    if view is not None and record is not None:
        for saved, picture in zip(record.pictures, view.pictures, strict=True):
            grid = sheets.grid(picture.images, picture.columns)
            store.write_bytes(f"{job.out}/{saved.path}", sheets.encode_webp(grid))
    store.write_json(part, ViewResult(view=record).to_json())
    return record


def open_subject(job: AnalysisRequest, store: Store) -> Subject:
    """The model, the images and the reference that a view needs."""
    generator, card, model = load_model(store.local_copy(job.model))
    folder = store.local_copy(job.places.data)
    detectors = {
        name: load_model(store.local_copy(folder))[0].to(job.device) for name, folder in job.detectors.items()
    }
    return Subject(
        generator.to(job.device),
        card,
        {name: open_split(folder, name) for name in SPLITS},
        names=DatasetCard.read(folder).labels,
        conditional="label" in conditions(model.family, model.config, card),
        seed=job.seed,
        device=job.device,
        detectors=detectors,
        judge=judge_of(open_reference(store, job.places)),
        training=job.training,
    )


def judge_of(reference: Reference) -> Judge:
    """A function that evaluates images which are not the family's samples with the same metrics."""

    def judge(images: np.ndarray, labels: np.ndarray | None) -> Metrics:
        return evaluate.evaluate_samples(EvaluationSample(reference.extractor(images), labels), reference)

    return judge
