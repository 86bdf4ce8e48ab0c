"""What a training leaves: weights, and trained.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from components.data.dataset import Split
from components.families.artifact import save_model
from components.records.names import KEPT, RESULT
from components.sampling.reconstruction_error import known_errors
from components.sampling.sheets import SHEET_COLUMNS
from components.store import Store
from components.training.request import Fit
from components.training.run_log import Recorder
from components.training.state import Trained
from components.training.trainer import Trainer
from models.family import Card, Generator


def write_result(
    job: Fit,
    attempt: Store,
    trainer: Trainer,
    log: Recorder,
    trained: Trained,
    validation: Split,
    averages: dict[str, Any] | None,
    work: float,
    shown: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """The weights to keep, the others where they differ and, last, what is to be known of the training.

    `shown` says what the sample grids show, `about` what a model's config.json says besides its settings.
    """
    family, control = trainer.family, trained.control
    job = replace(job, config=family.config.model_dump(mode="json"))  # treatments may have changed it
    steps = {"last": control.step, "best": control.best_step or control.step}
    won = averages["won"] if averages else None
    kept = "best" if won is not None else job.settings.keep
    if steps["best"] == control.step and won is None:
        del steps["best"]
        kept = "last"
    folders = {which: "model" if which == kept else f"model-{which}" for which in steps}
    for which, folder in folders.items():  # the last first: once best, the average is no longer last
        generator = trainer.weights(which)
        assert isinstance(generator, Generator)
        told = dict(about)
        if family.codes:
            told["errors"] = known_errors(generator, validation, job.device)
        save_model(attempt, folder, job.family, job.config, generator, family.card, **told)
        if which == kept:
            attempt.write_bytes(KEPT, log.picture(generator))
    attempt.write_json(
        RESULT,
        {
            "steps": control.step,
            "images": trained.images,
            "seconds": control.seconds,
            "work_seconds": work,
            "stopped_early": control.stopped,
            "kept": kept,
            "checkpoints": {which: {"step": steps[which], "model": folders[which]} for which in steps},
            "selected_by": _selected_by(log, trainer, averages),
            "averages": _averages(log, averages),
            "curve": control.curve,
            "parameters": sum(p.numel() for p in family.generator.parameters()),
            "parameters_trained": sum(p.numel() for p in family.parameters()),
            "terms": trained.terms,
            "health": trainer.watch.described | {"events": control.events},
            "samples": {**sample_table(attempt, family.card), **shown},
        },
    )


def _averages(log: Recorder, found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Which lengths of averages were tried, and by what they were judged."""
    return found | {"judged_by": log.selector.jury.described} if found and log.selector else None


def _selected_by(log: Recorder, trainer: Trainer, averages: dict[str, Any] | None) -> dict[str, Any] | None:
    """What chose the best weights."""
    if averages and averages["won"] is not None and log.selector:
        return log.selector.jury.described | {"ema_length": averages["won"]}
    if not trainer.control.best_step:
        return None
    if trainer.settings.patience is not None and len(trainer.family.phases) == 1:
        return {"metric": "validation loss", "split": "validation"}
    return None if log.selector is None else log.selector.jury.described


def sample_table(attempt: Store, card: Card) -> dict[str, Any]:
    """How to read the grids: tiles lie side by side, row by row."""
    names = [name for name in attempt.list("samples") if name.startswith("step-")]
    return {
        "columns": SHEET_COLUMNS,
        "resolution": card.resolution,
        "channels": card.channels,
        "steps": [int(name.removeprefix("step-").removesuffix(".webp")) for name in names],
        "source": "samples/source.webp" if attempt.exists("samples/source.webp") else None,
        "kept": KEPT,
    }
