"""Run a training job on a worker: plain arguments in, results in the store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
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
from components.evaluation.snapshot import SnapshotSelector, open_evaluator
from components.families.catalogue import build, conditions, task_of
from components.records.names import INITIAL, RESULT
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
from components.training.protocols import Leaving, Report
from components.training.request import TrainRequest
from components.training.result import Outcome, write_result
from components.training.run_log import RunLog
from components.training.state import State, Trained
from components.training.throughput import Throughput
from components.training.trainer import Trainer
from components.training.validation import validation_batches
from components.training.warm_start import load_initial, warm_start
from models.data_spec import DataSpec
from models.family import Family, Generator

# Pictures next to the sample grids, by the columns of a task's sheet.
TARGETS, SOURCES = "samples/source.webp", "samples/given.webp"
# Of the other direction, which starts from images.
BACKWARD_SOURCES = "samples/backward-given.webp"

PROBED = 1000  # validation images from which the probe draws its real images


def fit(
    job: TrainRequest,
    group: Group | None = None,
    report: Report = lambda *_: None,
    leaving: Leaving = lambda: False,
) -> None:
    """Train on this process of the group; resume from the newest checkpoint in the attempt's folder.

    Writes metrics/, samples/, checkpoints/, model/ and, last, trained.json to the attempt's folder; also
    ema/, if EMAs of other lengths are tried. An interrupted job writes no model.
    """
    group = group or Group(device=torch.device(job.device))
    settings, attempt = job.settings, job.store.child(job.attempt)
    if group.agree(attempt.exists(RESULT)):
        return
    keep_freed()
    with using_threads(settings.torch_threads), Uploader(attempt) as uploader:
        inputs = open_inputs(job, group.device)
        family = build_family(job, inputs)
        resume = newest_checkpoint(attempt, group)
        if settings.initial and resume is None:
            taken = warm_start(family, load_initial(job.store, settings.initial), settings.initial)
            if group.rank == 0:
                uploader.put(json.dumps(taken.to_json()).encode(), INITIAL)
        log = open_log(job, inputs, family, uploader) if group.rank == 0 else NullLog()
        conditions = FixedConditions(inputs.card, inputs.training, task_of(job.family))
        trainer = Trainer(family, settings, group=group, probe=log.probe, conditions=conditions)
        paired = task_of(job.family).paired
        batches = Throughput(
            Batches(inputs.training, settings.batch, settings.seed, job.flips, paired), group.device
        )
        log.throughput = batches
        validation = validation_batches(inputs.validation, settings.batch, settings.validation_images)
        trained = train(
            trainer,
            batches,
            log,
            validation=validation,
            resume=resume,
            report=report,
            stop_at=job.stop_at,
            leaving=leaving,
        )
        log.finish(trainer, trained)


def build_family(job: TrainRequest, inputs: Inputs) -> Family:
    """Return the job's family with weights initialized from the job's seed."""
    torch.manual_seed(derive(job.settings.seed, "weights"))
    return build(job.family, job.config, inputs.card, inputs.given, job.settings)


def newest_checkpoint(attempt: Store, group: Group) -> State | None:
    """Return, on all processes, the newest checkpoint that the first process can read."""
    state = checkpoint.newest(attempt, group.device)
    newest = checkpoint_id(state) if state else None
    agreed = group.agree(newest)
    return state if agreed == newest else checkpoint.load(attempt, agreed, group.device)


def checkpoint_id(state: State) -> checkpoint.CheckpointId:
    """Return the attempt and step of a state."""
    return state["control"]["attempt"], state["control"]["step"]


class JobLog(RunLog):
    """The log of a job's first process, which also writes the result."""

    def __init__(self, job: TrainRequest, inputs: Inputs, rows: np.ndarray, *arguments: Any):
        super().__init__(*arguments)
        self.job, self.inputs, self.sampled = job, inputs, rows
        self.began = time.monotonic()

    def finish(self, trainer: Trainer, trained: Trained) -> None:
        """Wait until all is stored; if training is finished, also try EMAs first and write the result last.

        Raises:
            RunError: a file could not be stored.
        """
        tries_emas = trained.finished and trainer.settings.ema_sigma_rel
        averages = try_posthoc_ema(trainer, self) if tries_emas else None
        seconds = time.monotonic() - self.began
        self.uploader.flush()
        self.uploader.close()
        if self.failure:
            raise RunError(self.failure)
        if trained.finished:
            outcome = Outcome(self.job, self.inputs, trainer, trained, averages, seconds, self.sampled)
            write_result(outcome, self)


def open_log(job: TrainRequest, inputs: Inputs, family: Family, uploader: Uploader) -> JobLog:
    """Return the log of the first process, with the fixed conditions of its sample grids."""
    settings, validation, attempt = job.settings, inputs.validation, job.store.child(job.attempt)
    rows = sheets.grid_rows(validation, settings.sample_images)
    kinds, labels = conditions(job.family, job.config, inputs.card), validation.labels
    fixed: dict[str, Any] = {
        "n": len(rows),
        "seed": derive(settings.seed, "grid"),
        "labels": labels[rows] if labels is not None and "label" in kinds else None,
        "text": None if validation.text is None else validation.text[rows],
        "batch": settings.chunk,
        "device": job.device,
        **target_images(job.family, validation, rows),
    }
    sheet: dict[str, np.ndarray | None] = {}
    if "target" in task_of(job.family).sheet:
        sheet[TARGETS] = validation.images[rows]
    if "source" in task_of(job.family).sheet:
        sheet[SOURCES] = source_images(family.generator, inputs.card, **fixed)
    draw_backward = None
    if hasattr(family.generator, "backward"):
        sheet[BACKWARD_SOURCES] = validation.images[rows]
        drawn = {name: fixed[name] for name in ("n", "seed", "batch", "device")}
        draw_backward = backward_drawing(inputs.card, validation.images[rows], **drawn)
    for name, images in sheet.items():
        if images is not None:
            uploader.put(sheets.encode_webp(sheets.grid(images, SHEET_COLUMNS)), name)

    def draw(generator: nn.Module) -> np.ndarray:
        assert isinstance(generator, Generator)
        return generate.draw(generator, inputs.card, **fixed)

    selector = open_selector(job, inputs) if settings.judges else None
    probe = open_probe(job, inputs, selector) if sides_of(family.phases) else None
    arguments = attempt, uploader, draw, settings.steps, selector, job.checkpoints, probe, draw_backward
    return JobLog(job, inputs, rows, *arguments)


def backward_drawing(card: DataSpec, images: np.ndarray, **drawn: Any) -> Callable[[nn.Module], np.ndarray]:
    """Return the function that draws what a generator makes of images in the other direction."""

    def draw(generator: nn.Module) -> np.ndarray:
        assert isinstance(generator, Generator)
        return generate.draw(generator, card.reversed(), sources=images, method="backward", **drawn)

    return draw


def open_selector(job: TrainRequest, inputs: Inputs) -> SnapshotSelector:
    """Return the selector that evaluates snapshots.

    It samples as the evaluation does, but from validation and with seeds that no reported number uses.
    """
    validation = inputs.validation
    sampled_from = EvaluationInputs(job.family, job.config, inputs.card, inputs.data, validation)
    n = sampled_from.most(min(job.settings.snapshot_samples, len(validation)))
    evaluator = open_evaluator(*job.judged_by, validation, n, sampled_from.task)
    seed, chunk = derive(job.settings.seed, "select"), job.settings.chunk

    def draw(generator: Generator) -> np.ndarray:
        return sample_for_evaluation(generator, sampled_from, n, seed, batch=chunk, device=job.device).images

    return SnapshotSelector(evaluator, draw)


def open_probe(job: TrainRequest, inputs: Inputs, selector: SnapshotSelector | None) -> Probe:
    """Return the probe of sample diversity: in the selector's features, or in pixels without a selector."""
    validation = inputs.validation
    real = to_float(validation.images[: min(len(validation), PROBED)])
    conditions = FixedConditions(inputs.card, validation, task_of(job.family))
    if selector is None:
        return Probe(conditions, lambda images: images.flatten(1), real)
    extractor = selector.evaluator.extractor
    return Probe(conditions, lambda images: extractor(dataset.to_uint8(images)), real)
