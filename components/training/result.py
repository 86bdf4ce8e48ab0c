"""What a training leaves: weights, and trained.json."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.families.artifact import save_model
from components.records.health import TrainingHealth
from components.records.names import KEPT, RESULT, VALIDATION_LOSS
from components.records.training import Averages, SampleTable, SavedWeights, Selection, TrainingResult
from components.sampling.reconstruction_error import validation_errors
from components.sampling.sheets import SHEET_COLUMNS
from components.store import Store
from components.training.inputs import Inputs
from components.training.request import TrainRequest
from components.training.run_log import RunLog
from components.training.state import Trained
from components.training.trainer import Trainer
from models.family import DataSpec, Generator


@dataclass(frozen=True)
class Outcome:
    """A training that is finished, and what it was made with."""

    job: TrainRequest
    inputs: Inputs
    trainer: Trainer
    trained: Trained
    averages: Averages | None  # of other lengths, where they were tried
    work_seconds: float
    rows: np.ndarray  # validation images that the sample grids belong to

    @property
    def steps(self) -> dict[str, int]:
        """The step of each of the weights that are written; the best where they are not the last."""
        control = self.trained.control
        best = control.best_step or control.step
        return {"last": control.step} | ({"best": best} if best != control.step or self.average_won else {})

    @property
    def average_won(self) -> bool:
        """Whether an average of another length is the best."""
        return self.averages is not None and self.averages.won is not None

    @property
    def kept(self) -> str:
        """Which of the weights are the model."""
        if "best" not in self.steps:
            return "last"
        return "best" if self.average_won else self.job.settings.select

    @property
    def folders(self) -> dict[str, str]:
        """Where each of the weights lies."""
        return {which: "model" if which == self.kept else f"model-{which}" for which in self.steps}

    @property
    def titles(self) -> list[str]:
        """The captions of the tiles of the sample grids, where there are any."""
        captions = self.inputs.validation.captions
        return [captions[i] for i in self.rows] if self.inputs.card.text and captions else []


def write_result(outcome: Outcome, log: RunLog) -> None:
    """Write the weights, the grid of those that are kept and, last, what is to be known of the training."""
    for which in outcome.steps:  # the last first: once best, the average is no longer last
        generator = outcome.trainer.weights(which)
        assert isinstance(generator, Generator)
        write_weights(outcome, which, generator, log.attempt)
        if which == outcome.kept:
            log.attempt.write_bytes(KEPT, log.picture(generator))
    log.attempt.write_json(RESULT, described(outcome, log).to_json())


def write_weights(outcome: Outcome, which: str, generator: Generator, attempt: Store) -> None:
    """Write a model folder."""
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
        errors=validation_errors(generator, inputs.validation, job.device) if family.codes else None,
        background=inputs.data.background,
    )


def described(outcome: Outcome, log: RunLog) -> TrainingResult:
    """The contents of trained.json."""
    trainer, trained, control = outcome.trainer, outcome.trained, outcome.trained.control
    family, averages, jury = trainer.family, outcome.averages, log.selector and log.selector.jury
    if averages and jury:
        averages = averages.model_copy(update={"evaluated_by": jury.described})
    return TrainingResult(
        steps=control.step,
        images=trained.images,
        seconds=control.seconds,
        work_seconds=outcome.work_seconds,
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
        samples=sample_table(log.attempt, family.card, outcome),
    )


def selected_by(log: RunLog, trainer: Trainer, averages: Averages | None) -> Selection | None:
    """What chose the best weights."""
    if averages and averages.won is not None and log.selector:
        return log.selector.jury.described.model_copy(update={"ema_length": averages.won})
    if not trainer.control.best_step:
        return None
    if trainer.selects_by_loss:
        return Selection(metric=VALIDATION_LOSS, split="validation")
    return None if log.selector is None else log.selector.jury.described


def sample_table(attempt: Store, card: DataSpec, outcome: Outcome) -> SampleTable:
    """How to read the grids: tiles lie side by side, row by row."""
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
