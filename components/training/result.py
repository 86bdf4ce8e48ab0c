"""Write the results of a training: weights and trained.json."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from components.families.artifact import save_model
from components.records.health import TrainingHealth
from components.records.names import INITIAL, KEPT, RESULT, VALIDATION_LOSS
from components.records.training import (
    Averages,
    SampleTable,
    SavedWeights,
    Selection,
    TrainingResult,
    WarmStart,
)
from components.sampling.reconstruction_error import validation_errors
from components.sampling.sheets import SHEET_COLUMNS
from components.store import Store
from components.store.errors import outlasting
from components.training.inputs import Inputs
from components.training.request import TrainRequest
from components.training.run_log import RunLog
from components.training.state import Trained
from components.training.trainer import Trainer
from models.data_spec import DataSpec
from models.family import Generator


@dataclass(frozen=True)
class Outcome:
    """A finished training with its job and inputs."""

    job: TrainRequest
    inputs: Inputs
    trainer: Trainer
    trained: Trained
    averages: Averages | None  # EMAs of other lengths, if any were tried
    work_seconds: float
    rows: np.ndarray  # validation images that the sample grids belong to

    @property
    def steps(self) -> dict[str, int]:
        """The step of each set of weights to write; the best ones only if they are not the last."""
        control = self.trained.control
        best = control.best_step or control.step
        return {"last": control.step} | ({"best": best} if best != control.step or self.average_won else {})

    @property
    def average_won(self) -> bool:
        """Whether an EMA of another length is the best."""
        return self.averages is not None and self.averages.won is not None

    @property
    def kept(self) -> str:
        """Which weights are the selected model: "last" or "best"."""
        if "best" not in self.steps:
            return "last"
        return "best" if self.average_won else self.job.settings.select

    @property
    def folders(self) -> dict[str, str]:
        """The folder of each set of weights."""
        return {which: "model" if which == self.kept else f"model-{which}" for which in self.steps}

    @property
    def titles(self) -> list[str]:
        """The captions of the tiles in the sample grids; empty for a family without captions."""
        captions = self.inputs.validation.captions
        return [captions[i] for i in self.rows] if self.inputs.card.text and captions else []


def write_result(outcome: Outcome, log: RunLog) -> None:
    """Write all weights, the sample grid of the selected ones and, last, trained.json; wait out an outage."""
    for (
        which
    ) in outcome.steps:  # last before best, since the best weights replace the last in the averaged copy
        generator = outcome.trainer.weights(which)
        assert isinstance(generator, Generator)
        outlasting(partial(write_weights, outcome, which, generator, log.attempt))
        if which == outcome.kept:
            outlasting(partial(log.attempt.write_bytes, KEPT, log.picture(generator)))
    outlasting(lambda: log.attempt.write_json(RESULT, described(outcome, log).to_json()))


def write_weights(outcome: Outcome, which: str, generator: Generator, attempt: Store) -> None:
    """Write one set of weights as a model folder."""
    job, family, inputs = outcome.job, outcome.trainer.family, outcome.inputs
    config = family.config.model_dump(mode="json")  # treatments may have changed it
    save_model(
        attempt,
        outcome.folders[which],
        job.family,
        config,
        generator,
        family.card,
        labels=inputs.data.labels,
        encoder=inputs.encoder if inputs.validation.captions else None,
        upstream=inputs.upstream_configs,
        errors=validation_errors(generator, inputs.validation, job.device, job.settings.validation_images)
        if family.codes
        else None,
        background=inputs.data.background,
    )


def described(outcome: Outcome, log: RunLog) -> TrainingResult:
    """Return the contents of trained.json."""
    trainer, trained, control = outcome.trainer, outcome.trained, outcome.trained.control
    family, averages, attempt = trainer.family, outcome.averages, log.attempt
    if averages and log.selector:
        averages = averages.model_copy(update={"evaluated_by": log.selector.evaluator.described})
    return TrainingResult(
        steps=control.step,
        images=trained.images,
        seconds=control.seconds,
        work_seconds=outcome.work_seconds,
        initial=WarmStart.read(attempt.read_json(INITIAL)) if attempt.exists(INITIAL) else None,
        stopped_early=control.stopped,
        kept=outcome.kept,
        checkpoints={
            which: SavedWeights(step=step, model=outcome.folders[which])
            for which, step in outcome.steps.items()
        },
        selected_by=selected_by(log, trainer, averages),
        averages=averages,
        curve=control.curve,
        parameters=sum(p.numel() for p in family.generator.parameters()),
        parameters_trained=sum(p.numel() for p in family.parameters()),
        terms={**trained.terms},
        health=TrainingHealth(**vars(trainer.monitor.described), events=control.events),
        samples=sample_table(attempt, family.card, outcome),
    )


def selected_by(log: RunLog, trainer: Trainer, averages: Averages | None) -> Selection | None:
    """Return the metric that selected the best weights; None if nothing selects."""
    if averages and averages.won is not None and log.selector:
        return log.selector.evaluator.described.model_copy(update={"ema_length": averages.won})
    if not trainer.control.best_step:
        return None
    if trainer.selects_by_loss:
        return Selection(metric=VALIDATION_LOSS, split="validation")
    return None if log.selector is None else log.selector.evaluator.described


def sample_table(attempt: Store, card: DataSpec, outcome: Outcome) -> SampleTable:
    """Return the layout of the sample grids, whose tiles are in row order, and the steps that have one."""
    names = [name for name in attempt.list("samples") if name.startswith("step-")]
    return SampleTable(
        columns=SHEET_COLUMNS,
        count=len(outcome.rows),
        resolution=card.resolution,
        channels=card.channels,
        steps=[int(name.removeprefix("step-").removesuffix(".webp")) for name in names],
        source="samples/source.webp" if attempt.exists("samples/source.webp") else None,
        titles=outcome.titles,
    )
