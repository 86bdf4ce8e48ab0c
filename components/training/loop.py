"""The training loop. It knows phases, never a family.

    every step: reseed, next batch, learning rate, every due phase, average
    every so often: log, validate, sample a fixed-seed grid, checkpoint, report

Everything random is a function of (seed, attempt, step, phase, shard) and the data position is a function of
the step, so there is no state to lose but what a checkpoint holds. To resume, call it again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Container, Sequence

import torch

from components.records.training import Averages, Point
from components.training import posthoc_ema
from components.training.health.detector import Diagnosis
from components.training.health.events import event, stopped
from components.training.log import Log
from components.training.protocols import Report, Source
from components.training.schedule import grid_steps
from components.training.state import State, Trained
from components.training.trainer import Trainer
from models.family import Batch


def train(
    trainer: Trainer,
    data: Source,
    log: Log,
    *,
    validation: Sequence[Batch] = (),
    resume: State | None = None,
    report: Report = lambda step, metrics, checkpoint: None,
    stop_at: int | None = None,
) -> Trained:
    """Train to the end of the settings, or until the validation loss no longer improves.

    Args:
        trainer: the family and its settings.
        data: batches by step.
        log: receives rows, sample grids and checkpoints.
        validation: held-out batches; used for families with one phase, whose loss is then a measure.
        resume: the state of the checkpoint to resume from.
        report: called at every checkpoint.
        stop_at: a step at which to stop for now, to be resumed from its checkpoint.

    Raises:
        Diverged: a term is not finite, or the health monitor stops the training; the last good checkpoint
            stays.
    """
    settings = trainer.settings
    start(trainer, log, resume)
    grids = grid_steps(settings)
    changes = {milestone.step: milestone.change for milestone in settings.setting_changes}
    if len(trainer.family.phases) > 1:
        validation = ()  # only the loss of a single phase is a measure
    row: dict[str, float] = {}
    began = time.perf_counter() - trainer.control.seconds
    end = settings.steps if stop_at is None else min(stop_at, settings.steps)
    while trainer.control.step < end and not trainer.control.stopped:
        if trainer.control.step in changes:
            trainer.adjust(changes[trainer.control.step])
        trainer.step(data)
        control, step = trainer.control, trainer.control.step
        control.seconds = time.perf_counter() - began
        log.progress(step, row)
        row, diagnosis = measure(trainer, log, validation, grids, row)
        if diagnosis and apply_diagnosis(trainer, log, diagnosis):
            continue
        if step % settings.checkpoint_every == 0 or step == settings.steps or control.stopped:
            if trainer.monitor.healthy:
                control.healthy = (control.attempt, step)
            name = log.save(step, trainer.state())
            report(step, row | {"seconds": time.perf_counter() - began}, name)
    control = trainer.control
    return Trained(control, trainer.images, control.step == settings.steps or control.stopped, row)


def start(trainer: Trainer, log: Log, resume: State | None) -> None:
    """Draw the first snapshot, or load the state to resume from."""
    if resume is None:
        snapshot(trainer, log)
    else:
        trainer.load_state(resume)
        log.resume_at(trainer.control.step, trainer.control.attempt)
        raise_if_stopped(trainer)
    if trainer.monitor.examines:
        log.watch(trainer.monitor.described)


def measure(
    trainer: Trainer, log: Log, validation: Sequence[Batch], grids: Container[int], row: dict[str, float]
) -> tuple[dict[str, float], Diagnosis | None]:
    """Validate, check health and draw a snapshot if they are due after this step; log the results.

    Returns:
        The newest row of the log, which is `row` if nothing was due, and the diagnosis, if there is one.
    """
    control, step = trainer.control, trainer.control.step
    validated = validate(trainer, validation)
    drawn = step in grids or control.stopped
    vitals, diagnosis = trainer.check_health()
    if not (trainer.is_logged(step) or validated or drawn or vitals):
        return row, diagnosis
    row = trainer.collect() | {f"validation/{name}": value for name, value in validated.items()}
    diagnosis = diagnosis or trainer.broken(row)
    row |= {f"health/{name}": value for name, value in vitals.items()}
    if drawn:
        quality = snapshot(trainer, log)
        if quality and not (validation and trainer.selects_by_loss):
            trainer.select(quality["score"])
        row |= {f"snapshot/{name}": value for name, value in quality.items() if name != "score"}
    log.row(step, {"images": trainer.images, "seconds": control.seconds, **row})
    return row, diagnosis


def validate(trainer: Trainer, batches: Sequence[Batch]) -> dict[str, float]:
    """Return the terms of the validation loss and what is observed with them; empty if it is not due."""
    settings, step = trainer.settings, trainer.control.step
    due = step % settings.validate_every == 0 or step == settings.steps
    if not (due and batches):
        return {}
    terms, observed = trainer.validate(batches)
    if trainer.selects_by_loss:
        trainer.select(sum(terms.values()))
    return terms | observed


def apply_diagnosis(trainer: Trainer, log: Log, diagnosis: Diagnosis) -> bool:
    """Do about a diagnosis what the policy says; whether training has gone back to an earlier step.

    Raises:
        Diverged: the policy is to stop, or nothing is left to try; the last healthy checkpoint stays.
    """
    control, monitor = trainer.control, trainer.monitor
    remedy, generator = trainer.remedy(diagnosis.disease), trainer.calibrated()
    action = "treated" if remedy else monitor.without_remedy(diagnosis.disease)
    diagnosed = event(diagnosis, control.attempt, action)
    if remedy is None:
        control.events.append(diagnosed)
        log.event(diagnosed, generator)
        if action == "stopped":
            log.save(control.step, trainer.state())
            raise_if_stopped(trainer)
        return False
    state = trainer.group.agree(log.load(control.healthy)) if control.healthy else None
    log.event(trainer.treat(diagnosed, remedy, state), generator)
    control = trainer.control
    log.go_back(control.step, control.attempt)
    log.watch(monitor.described)
    log.save(control.step, trainer.state())
    return True


def raise_if_stopped(trainer: Trainer) -> None:
    """A training that the doctor stopped stays so: raises Diverged with why and what had been tried."""
    control = trainer.control
    if control.events and control.events[-1].action == "stopped":
        raise stopped(control.events[-1], trainer.settings.health, control.treatments)


def snapshot(trainer: Trainer, log: Log) -> dict[str, float]:
    """Draw the samples of this step and judge them: `score`, lower is better, and what it was chosen from.

    Decisions rest on it, so all processes hear what the first one found. Empty where nothing judges.
    """
    generator, control = trainer.calibrated(), trainer.control
    log.grid(control.step, generator)
    if trainer.tracks and control.step:
        moment = trainer.tracks.mark(control.attempt, control.step)
        log.save_tracks(moment, posthoc_ema.flat(trainer.tracks.parameters))
    judged: dict[str, float] = trainer.group.agree(log.judge(control.step, generator))
    if judged:
        values = {name: value for name, value in judged.items() if name != "score"}
        control.curve.append({"step": control.step, **values})
    return judged


@torch.no_grad()
def try_posthoc_ema(trainer: Trainer, log: Log) -> Averages:
    """Judge averages of other lengths as snapshots are judged; one that beats the ordinary becomes the best.

    The ordinary average is the one that would be kept without: of the best snapshot, or of the last step. For
    the first process, after training; the averaged generator is afterwards what it was.

    Returns:
        which length was best, if it was not the ordinary one, and for each length its quality and, as
        `missed`, how far its profile is from the exact one.
    """
    assert trainer.tracks
    control, generator, settings = trainer.control, trainer.ema.generator, trainer.settings
    last = {name: value.clone() for name, value in generator.state_dict().items()}
    ordinary = trainer.weights("best" if settings.select == "best" else "last")
    first = log.judge(control.step, ordinary)
    generator.load_state_dict(last)
    won, lowest, best = None, first["score"], trainer.best
    if math.isnan(lowest):
        lowest = math.inf
    curve: list[Point] = [{"length": None, **first}]
    moments = log.stored_tracks(trainer.tracks.moments)
    lengths = settings.ema_sigma_rel if moments else ()
    averages = posthoc_ema.averages(lengths, moments, map(log.load_tracks, moments), control.step)
    for length, (parameters, missed) in zip(lengths, averages, strict=True):
        for name, parameter in generator.named_parameters():
            parameter.copy_(parameters[name])
        judged = log.judge(control.step, trainer.calibrated())
        curve.append({"length": length, "missed": missed, **judged})
        if judged["score"] < lowest:
            won, lowest = length, judged["score"]
            best = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.load_state_dict(last)
    if won is not None:
        trainer.best, control.best_step = best, control.step
    return Averages(won=won, curve=curve, snapshots=len(moments))
