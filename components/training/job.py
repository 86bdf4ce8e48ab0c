"""What a worker is sent to do: train a family, draw samples from a trained one.

Plain arguments, results in the store.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.common.errors import RunError
from components.common.memory import keep_freed
from components.common.seeds import derive
from components.common.threads import using_threads
from components.data import dataset
from components.data.card import DataCard
from components.data.dataset import Batches, Split, open_shards, open_split, to_float
from components.data.text.encoded import ENCODER
from components.evaluation.protocol import PAIRED
from components.evaluation.snapshot import Jury, Selector
from components.families.artifact import load_model
from components.families.catalogue import build, card_for, conditions
from components.records.names import RESULT
from components.sampling import generate, sheets
from components.sampling.conditions import conditions_of, originals
from components.sampling.sheets import SHEET_COLUMNS
from components.store import Store
from components.store.uploader import Uploader
from components.training import checkpoint
from components.training.distributed import Group
from components.training.health.monitor import examined
from components.training.health.probe import Probe
from components.training.loop import train, try_lengths
from components.training.protocols import Report
from components.training.request import Fit
from components.training.result import write_result
from components.training.run_log import Recorder, Silent
from components.training.trainer import Trainer
from components.training.validation import held_out
from models.family import Card, Family, Generator
from models.registry import FAMILIES

PROBED = 1000  # validation images of which a sample says how diverse samples should be


def fit(job: Fit, group: Group | None = None, report: Report = lambda *_: None) -> None:
    """Train on this process of the group; go on from the newest checkpoint in the attempt's folder.

    Leaves in the attempt's folder: metrics/, samples/, checkpoints/, model/ and, written last, trained.json;
    ema/ too, where averages of other lengths are tried. A job that stops on the way leaves no model yet.
    """
    group = group or Group(device=torch.device(job.device))
    settings, store = job.settings, Store(job.store)
    attempt = store.child(job.attempt)
    if group.agree(attempt.exists(RESULT)):
        return
    keep_freed()
    with using_threads(settings.threads):
        folder = store.local_copy(job.data)
        card = DataCard.read(folder)
        told = card_for(job.family, job.config, card)
        encoded = store.local_copy(job.captions) if told.text else None
        training, validation = (
            _split(job, store, folder, split, encoded) for split in ("train", "validation")
        )
        upstream = {name: load_model(store.local_copy(model)) for name, model in job.upstream.items()}
        torch.manual_seed(derive(settings.seed, "weights"))
        built_on = {name: generator for name, (generator, _, _) in upstream.items()}
        family = build(job.family, job.config, told, built_on, settings)
        resume = _checkpoint(attempt, group)
        with Uploader(attempt) as uploader:
            rows = sheets.grid_rows(validation, settings.sample_images)
            log: Recorder | Silent = Silent()
            if group.rank == 0:
                log = _log(job, store, attempt, uploader, validation, rows, card, family)
            if isinstance(log, Recorder) and resume:
                log.resume_at(resume["control"]["step"], resume["control"]["attempt"])
            probe = None
            if isinstance(log, Recorder) and examined(family):
                probe = _probe(log, card.card, validation)
            trainer = Trainer(family, settings, group=group, probe=probe)
            began = time.time()
            trained = train(
                trainer,
                Batches(training, settings.batch, settings.seed, job.flips),
                log,
                validation=held_out(validation, settings.batch),
                resume=resume,
                report=report,
                stop_at=job.stop_at,
            )
            paused = trainer.control.step < settings.steps and not trainer.control.stopped
            averages = None
            if isinstance(log, Recorder) and settings.ema_lengths and not paused:
                averages = try_lengths(trainer, log)
            work = time.time() - began
        if uploader.failed:
            name, why = uploader.failed[0]
            raise RunError(f"{job.attempt}/{name} could not be stored: {why}; run the same command to resume")
        if isinstance(log, Recorder) and not paused:
            shown: dict[str, Any] = {"count": len(rows)}
            about: dict[str, Any] = {"labels": card.labels, "background": card.background}
            about["upstream"] = {name: described for name, (_, _, described) in upstream.items()}
            if told.text and validation.captions:
                shown["titles"] = [validation.captions[i] for i in rows]
                about["encoder"] = store.read_json(f"{job.captions}/{ENCODER}")
            write_result(job, attempt, trainer, log, trained, validation, averages, work, shown, about)


def _split(job: Fit, store: Store, folder: Path, name: str, encoded: Path | None) -> Split:
    """A split of the data, with what is kept of its captions and images as other models encode them."""
    split = open_split(folder, name, encoded)
    if job.without is not None:
        return split.without(job.without)
    if not job.latents:
        return split
    return replace(split, latents=open_shards(store.local_copy(f"{job.latents}/{name}"), "latents"))


def _checkpoint(attempt: Store, group: Group) -> dict[str, Any] | None:
    """The newest checkpoint that the first process can read, on all of them."""
    state = checkpoint.newest(attempt, group.device)
    own = moment_of(state) if state else None
    moment = group.agree(own)
    return state if moment == own else checkpoint.load(attempt, moment, group.device)


def moment_of(state: dict[str, Any]) -> checkpoint.Moment:
    """When a state was saved."""
    return state["control"]["attempt"], state["control"]["step"]


def _probe(log: Recorder, card: Card, validation: Split) -> Probe:
    """What measures the diversity of samples: through the extractor where one judges, else in pixels."""
    real = to_float(validation.images[: min(len(validation), PROBED)])
    if log.selector is None:
        return Probe(card, lambda images: images.flatten(1), real)
    extractor = log.selector.jury.extractor
    return Probe(card, lambda images: extractor(dataset.to_uint8(images)), real)


def _log(
    job: Fit,
    store: Store,
    attempt: Store,
    uploader: Uploader,
    validation: Split,
    rows: np.ndarray,
    card: DataCard,
    family: Family,
) -> Recorder:
    """Where the first process writes, with the fixed conditions of its sample grids."""
    settings, labels, told = job.settings, validation.labels, family.card
    kinds = conditions(job.family, job.config, told)
    fixed: dict[str, Any] = {
        "n": len(rows),
        "seed": derive(settings.seed, "grid"),
        "labels": labels[rows] if labels is not None and "label" in kinds else None,
        "text": None if validation.text is None else validation.text[rows],
        "device": job.device,
        **originals(job.family, validation, rows),
    }
    if FAMILIES[job.family].task in PAIRED:
        grid = sheets.grid(validation.images[rows], SHEET_COLUMNS)
        uploader.put(sheets.encode_webp(grid), "samples/source.webp")
    if hasattr(family.generator, "given"):
        grid = sheets.grid(generate.draw(family.generator, told, method="given", **fixed), SHEET_COLUMNS)
        uploader.put(sheets.encode_webp(grid), "samples/given.webp")

    def draw(generator: nn.Module) -> np.ndarray:
        assert isinstance(generator, Generator)
        return generate.draw(generator, told, **fixed)

    selector = _selector(job, store, validation, card, told) if settings.judges else None
    return Recorder(attempt, uploader, draw, settings.steps, selector, job.checkpoints)


def _selector(job: Fit, store: Store, validation: Split, card: DataCard, told: Card) -> Selector:
    """What judges snapshots.

    Its samples are like those to be reported, but of seeds and images that select and are never reported.
    """
    n = min(job.settings.judge_samples, len(validation))
    targets = validation.images[np.arange(n)] if FAMILIES[job.family].task in PAIRED else None
    jury = Jury(store.local_copy(job.reference), store.local_copy(job.extractor), n, targets)
    fixed = conditions_of(job.family, job.config, told, card, validation)
    fixed |= {"n": n, "seed": derive(job.settings.seed, "select"), "device": job.device}
    return Selector(jury, lambda generator: generate.draw(generator, told, **fixed))
