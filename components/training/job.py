"""A training job on a worker: plain arguments, results in the store."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from components.common.errors import RunError
from components.common.memory import keep_freed
from components.common.seeds import derive
from components.common.threads import using_threads
from components.data import dataset
from components.data.batches import Batches
from components.data.dataset import to_float
from components.evaluation.samples import EvaluationInputs, sample_for_evaluation
from components.evaluation.snapshot import SnapshotSelector, open_jury
from components.families.catalogue import build, conditions, task_of
from components.records.names import RESULT
from components.sampling import generate, sheets
from components.sampling.conditions import FixedConditions, target_images
from components.sampling.sheets import SHEET_COLUMNS
from components.sampling.sources import source_images
from components.store import Store
from components.store.uploader import Uploader
from components.training import checkpoint
from components.training.distributed import Group
from components.training.health.monitor import sides_of
from components.training.health.probe import Probe
from components.training.inputs import Inputs, open_inputs
from components.training.log import NullLog
from components.training.loop import train, try_posthoc_ema
from components.training.protocols import Report
from components.training.request import TrainRequest
from components.training.result import Outcome, write_result
from components.training.run_log import RunLog
from components.training.state import State, Trained
from components.training.trainer import Trainer
from components.training.validation import validation_batches
from models.family import Family, Generator

# Pictures beside the sample grids, by the columns of a task's sheet.
TARGETS, SOURCES = "samples/source.webp", "samples/given.webp"

PROBED = 1000  # validation images of which a sample says how diverse samples should be


def fit(job: TrainRequest, group: Group | None = None, report: Report = lambda *_: None) -> None:
    """Train on this process of the group; go on from the newest checkpoint in the attempt's folder.

    Leaves in the attempt's folder: metrics/, samples/, checkpoints/, model/ and, written last, trained.json;
    ema/ too, where averages of other lengths are tried. A job that stops on the way leaves no model yet.
    """
    group = group or Group(device=torch.device(job.device))
    settings, attempt = job.settings, Store(job.store).child(job.attempt)
    if group.agree(attempt.exists(RESULT)):
        return
    keep_freed()
    with using_threads(settings.torch_threads), Uploader(attempt) as uploader:
        inputs = open_inputs(job)
        family = build_family(job, inputs)
        resume = newest_checkpoint(attempt, group)
        log = open_log(job, inputs, family, uploader) if group.rank == 0 else NullLog()
        conditions = FixedConditions(inputs.card, inputs.training, task_of(job.family))
        trainer = Trainer(family, settings, group=group, probe=log.probe, conditions=conditions)
        paired = task_of(job.family).paired
        batches = Batches(inputs.training, settings.batch, settings.seed, job.flips, paired)
        validation = validation_batches(inputs.validation, settings.batch)
        trained = train(
            trainer, batches, log, validation=validation, resume=resume, report=report, stop_at=job.stop_at
        )
        log.finish(trainer, trained)


def build_family(job: TrainRequest, inputs: Inputs) -> Family:
    """The job's family, its weights drawn from the job's seed."""
    torch.manual_seed(derive(job.settings.seed, "weights"))
    return build(job.family, job.config, inputs.card, inputs.upstream, job.settings)


def newest_checkpoint(attempt: Store, group: Group) -> State | None:
    """The newest checkpoint that the first process can read, on all of them."""
    state = checkpoint.newest(attempt, group.device)
    own = checkpoint_id(state) if state else None
    moment = group.agree(own)
    return state if moment == own else checkpoint.load(attempt, moment, group.device)


def checkpoint_id(state: State) -> checkpoint.CheckpointId:
    """When a state was saved."""
    return state["control"]["attempt"], state["control"]["step"]


class JobLog(RunLog):
    """The log of a job's first process, which writes its result."""

    def __init__(self, job: TrainRequest, inputs: Inputs, rows: np.ndarray, *arguments: Any):
        super().__init__(*arguments)
        self.job, self.inputs, self.sampled = job, inputs, rows
        self.began = time.time()

    def finish(self, trainer: Trainer, trained: Trained) -> None:
        """Try averages, wait until all is stored and write the result; but for the wait only once finished.

        Raises:
            RunError: a file could not be stored.
        """
        tries = trained.finished and trainer.settings.ema_sigma_rel
        averages = try_posthoc_ema(trainer, self) if tries else None
        seconds = time.time() - self.began
        self.uploader.close()
        if self.uploader.failed:
            name, why = self.uploader.failed[0]
            raise RunError(
                f"{self.job.attempt}/{name} could not be stored: {why}; run the same command to resume"
            )
        if trained.finished:
            outcome = Outcome(self.job, self.inputs, trainer, trained, averages, seconds, self.sampled)
            write_result(outcome, self)


def open_log(job: TrainRequest, inputs: Inputs, family: Family, uploader: Uploader) -> JobLog:
    """Where the first process writes, with the fixed conditions of its sample grids."""
    settings, validation, attempt = job.settings, inputs.validation, Store(job.store).child(job.attempt)
    rows = sheets.grid_rows(validation, settings.sample_images)
    kinds, labels = conditions(job.family, job.config, inputs.card), validation.labels
    fixed: dict[str, Any] = {
        "n": len(rows),
        "seed": derive(settings.seed, "grid"),
        "labels": labels[rows] if labels is not None and "label" in kinds else None,
        "text": None if validation.text is None else validation.text[rows],
        "device": job.device,
        **target_images(job.family, validation, rows),
    }
    sheet: dict[str, np.ndarray | None] = {}
    if "target" in task_of(job.family).sheet:
        sheet[TARGETS] = validation.images[rows]
    if "source" in task_of(job.family).sheet:
        sheet[SOURCES] = source_images(family.generator, inputs.card, **fixed)
    for name, images in sheet.items():
        if images is not None:
            uploader.put(sheets.encode_webp(sheets.grid(images, SHEET_COLUMNS)), name)

    def draw(generator: nn.Module) -> np.ndarray:
        assert isinstance(generator, Generator)
        return generate.draw(generator, inputs.card, **fixed)

    selector = open_selector(job, inputs) if settings.judges else None
    probe = open_probe(job, inputs, selector) if sides_of(family.phases) else None
    arguments = attempt, uploader, draw, settings.steps, selector, job.checkpoints, probe
    return JobLog(job, inputs, rows, *arguments)


def open_selector(job: TrainRequest, inputs: Inputs) -> SnapshotSelector:
    """What judges snapshots.

    Its samples are like those to be reported, but of seeds and images that select and are never reported.
    """
    store, validation = Store(job.store), inputs.validation
    evaluated = EvaluationInputs(job.family, job.config, inputs.card, inputs.data, validation)
    n = evaluated.most(min(job.settings.snapshot_samples, len(validation)))
    jury = open_jury(store, job.reference, job.extractor, validation, n, evaluated.task)
    seed = derive(job.settings.seed, "select")

    def draw(generator: Generator) -> np.ndarray:
        return sample_for_evaluation(generator, evaluated, n, seed, device=job.device).images

    return SnapshotSelector(jury, draw)


def open_probe(job: TrainRequest, inputs: Inputs, selector: SnapshotSelector | None) -> Probe:
    """What measures the diversity of samples: through the extractor where one judges, else in pixels."""
    validation = inputs.validation
    real = to_float(validation.images[: min(len(validation), PROBED)])
    conditions = FixedConditions(inputs.card, validation, task_of(job.family))
    if selector is None:
        return Probe(conditions, lambda images: images.flatten(1), real)
    extractor = selector.jury.extractor
    return Probe(conditions, lambda images: extractor(dataset.to_uint8(images)), real)
