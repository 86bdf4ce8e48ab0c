"""The training loop. It knows phases, but no family.

    every step: reseed, next batch, learning rate, every due phase, average
    at intervals: log, validate, sample a fixed-seed grid, checkpoint, report

All randomness is a function of (seed, attempt, step, phase, shard) and the position in the data a function of
the step, so a checkpoint holds the whole state. To resume, call `train` with the newest checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Container, Sequence

import torch

from components.common.errors import RunError
from components.records.training import Averages, Point
from components.training import posthoc_ema
from components.training.health.detector import Diagnosis
from components.training.health.events import event, stopped
from components.training.log import Log
from components.training.protocols import Leaving, Report, Source
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
    leaving: Leaving = lambda: False,
) -> Trained:
    """Train to the end of the settings, or until the validation loss no longer improves.

    Args:
        trainer: the family and its settings.
        data: batches by step.
        log: receives rows, sample grids and checkpoints.
        validation: held-out batches; ignored for a family with several phases, whose losses do not measure
            quality.
        resume: the state of the checkpoint to resume from.
        report: called at every checkpoint.
        stop_at: a step at which to interrupt the training; resume it from that step's checkpoint.
        leaving: whether this process is to end soon; the first time, an extra checkpoint is stored before
            training continues.

    Raises:
        Diverged: a term is not finite, or the health monitor stops the training; the last good checkpoint
            is kept.
        RunError: a file of an earlier checkpoint could not be stored.
    """
    settings = trainer.settings
    start(trainer, log, resume)
    grids = grid_steps(settings)
    changes = {milestone.step: milestone.change for milestone in settings.setting_changes}
    if len(trainer.family.phases) > 1:
        validation = ()  # losses of several phases do not measure quality
    row: dict[str, float] = {}
    began = time.perf_counter() - trainer.control.seconds
    end = settings.steps if stop_at is None else min(stop_at, settings.steps)
    left = False
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
        due = step % settings.checkpoint_every == 0 or step == settings.steps or control.stopped
        leaves = not left and trainer.is_resumable(step) and trainer.group.any(leaving())
        if due or leaves:
            left |= leaves
            if due and trainer.monitor.healthy:
                control.healthy = (control.attempt, step)
            name = save(trainer, log, at_once=leaves)
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
        The newest row of the log, which is `row` if nothing was due, and the diagnosis or None.
    """
    control, step = trainer.control, trainer.control.step
    validation_metrics = validate(trainer, validation)
    snapshot_due = step in grids or control.stopped
    health_metrics, diagnosis = trainer.check_health()
    if not (trainer.is_logged(step) or validation_metrics or snapshot_due or health_metrics):
        return row, diagnosis
    row = trainer.collect() | {f"validation/{name}": value for name, value in validation_metrics.items()}
    diagnosis = diagnosis or trainer.non_finite(row)
    row |= {f"health/{name}": value for name, value in health_metrics.items()}
    if snapshot_due:
        quality = snapshot(trainer, log)
        if quality and not (validation and trainer.selects_by_loss):
            trainer.select(quality["score"])
        row |= {f"snapshot/{name}": value for name, value in quality.items() if name != "score"}
    log.row(step, {"images": trainer.images, "seconds": control.seconds, **row})
    return row, diagnosis


def validate(trainer: Trainer, batches: Sequence[Batch]) -> dict[str, float]:
    """Return the terms of the validation loss and the observed values; empty if no validation is due."""
    settings, step = trainer.settings, trainer.control.step
    due = step % settings.validate_every == 0 or step == settings.steps
    if not (due and batches):
        return {}
    terms, observed = trainer.validate(batches)
    if trainer.selects_by_loss:
        trainer.select(sum(terms.values()))
    return terms | observed


def apply_diagnosis(trainer: Trainer, log: Log, diagnosis: Diagnosis) -> bool:
    """Act on a diagnosis as the policy says; return whether training has gone back to an earlier step.

    Raises:
        Diverged: the policy is to stop, or no remedy is left; the last healthy checkpoint is kept.
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
    """Raise Diverged if the health monitor has stopped this training, also when it is resumed."""
    control = trainer.control
    if control.events and control.events[-1].action == "stopped":
        raise stopped(control.events[-1], trainer.settings.health, control.treatments)


def save(trainer: Trainer, log: Log, *, at_once: bool) -> str:
    """Save a checkpoint, and wait until it is stored if it is needed at once; return its name.

    Raises:
        RunError: an earlier file could not be stored; all processes raise it, since later ones fail too.
    """
    if failure := trainer.group.agree(log.failure):
        raise RunError(failure)
    name = log.save(trainer.control.step, trainer.state())
    if at_once:
        log.flush()
    return name


def snapshot(trainer: Trainer, log: Log) -> dict[str, float]:
    """Draw the samples of this step and return their metrics, with `score` (lower is better) for selection.

    All processes get the values of the first one, since decisions depend on them. Empty without an evaluator.
    """
    generator, control = trainer.calibrated(), trainer.control
    log.grid(control.step, generator)
    if trainer.tracks and control.step:
        checkpoint_id = trainer.tracks.mark(control.attempt, control.step)
        log.save_tracks(checkpoint_id, posthoc_ema.flat(trainer.tracks.parameters))
    metrics: dict[str, float] = trainer.group.agree(log.judge(control.step, generator))
    if metrics:
        values = {name: value for name, value in metrics.items() if name != "score"}
        control.curve.append({"step": control.step, **values})
    return metrics


@torch.no_grad()
def try_posthoc_ema(trainer: Trainer, log: Log) -> Averages:
    """Evaluate EMAs of other lengths as snapshots are; one that beats the ordinary EMA becomes the best.

    The ordinary EMA is that of the best snapshot or of the last step, as `settings.select` says. Called in
    the first process after training; leaves the averaged generator unchanged.

    Returns:
        The best length (None if the ordinary EMA is best) and, for each length, its metrics and, as `missed`,
        the relative error of its profile.
    """
    assert trainer.tracks
    control, generator, settings = trainer.control, trainer.ema.generator, trainer.settings
    last = {name: value.clone() for name, value in generator.state_dict().items()}
    ordinary = trainer.weights("best" if settings.select == "best" else "last")
    ordinary_metrics = log.judge(control.step, ordinary)
    generator.load_state_dict(last)
    best_length, lowest, best = None, ordinary_metrics["score"], trainer.best
    if math.isnan(lowest):
        lowest = math.inf
    curve: list[Point] = [{"length": None, **ordinary_metrics}]
    checkpoint_ids = log.stored_tracks(trainer.tracks.moments)
    lengths = settings.ema_sigma_rel if checkpoint_ids else ()
    tracks = map(log.load_tracks, checkpoint_ids)
    averages = posthoc_ema.averages(lengths, checkpoint_ids, tracks, control.step)
    for length, (parameters, error) in zip(lengths, averages, strict=True):
        for name, parameter in generator.named_parameters():
            parameter.copy_(parameters[name])
        metrics = log.judge(control.step, trainer.calibrated())
        curve.append({"length": length, "missed": error, **metrics})
        if metrics["score"] < lowest:
            best_length, lowest = length, metrics["score"]
            best = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.load_state_dict(last)
    if best_length is not None:
        trainer.best, control.best_step = best, control.step
    return Averages(won=best_length, curve=curve, snapshots=len(checkpoint_ids))
