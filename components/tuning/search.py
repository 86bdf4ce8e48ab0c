"""Ray Tune: run the trials of a sweep.

Trials are functions of their values (components/tuning/trial.py). No file of Tune is read again: a resumed
sweep suggests the same values, and its trials report their stored evaluations.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from components.cluster import ray_cluster
from components.common.errors import InputError, RunError
from components.config.sweep import Sweep
from components.records.trial import ScheduleEntry, SweepState, TrialPointer, TrialReport, Values
from components.store import Store
from components.tuning.asha import FIFO, DeterministicASHA
from components.tuning.capacity import concurrency, requirements
from components.tuning.pbt import DeterministicPBT
from components.tuning.space import Hyperparameter
from components.tuning.suggest import domain, label_of, labels, searcher, suggestions
from components.tuning.trial import (
    OnReport,
    Schedule,
    reason,
    sampled,
    trained,
)
from components.tuning.trial_context import WORST, TrialContext
from components.tuning.trial_log import TrialLog

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials store their own curves
    "RAY_AIR_NEW_OUTPUT": "0",  # its tables appear at any verbosity
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # flows/signals.py handles signals
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # a stopped trial stores its last files before the next begins
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

POINTER = "pointer.json"

LOST = "its process ended twice without an error message, possibly out of memory"


def trial_log(
    context: TrialContext,
    hyperparameters: Sequence[Hyperparameter],
    save: Callable[[TrialLog], None],
    before: SweepState | None,
    keep: str,
) -> TrialLog:
    """Return the log of a new sweep, or of one that continues from the state `before` an interruption."""
    choices = labels(hyperparameters)

    def values_of(config: Values) -> Values:
        return plain_to_values(config, choices)

    return TrialLog(save, context.judgements, before, values_of, best=keep == "best")


def plain_to_values(config: Values, choices: Mapping[str, Mapping[str, Any]]) -> Values:
    """Return the values for a searcher's plain values."""
    return {name: choices.get(name, {}).get(value, value) for name, value in config.items()}


def search(
    context: TrialContext,
    hyperparameters: Sequence[Hyperparameter],
    settings: Sweep,
    log: TrialLog,
    scratch: Store,
) -> None:
    """Run the trials of a sweep.

    Args:
        context: settings that trials share.
        hyperparameters: the searched hyperparameters and their spaces.
        settings: settings of the sweep.
        log: log of the trials, with the values that were suggested before an interruption.
        scratch: folder for Tune's own files.
    """
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(
        settings.trials
    )  # all trials of a population exist at once
    warnings.filterwarnings("ignore", module="ray")
    ray_cluster.connect()
    side_by_side, _ = concurrency(context, settings)
    # Sequential trials repeat the suggestions of a seed; those of parallel trials depend on their speed.
    before = log.suggested if side_by_side > 1 else []
    points = suggestions(hyperparameters, settings, before)
    log.planned = settings.trials if settings.searcher == "optuna" else len(points)
    log.side_by_side = side_by_side
    trial = tune.with_parameters(_trial, context=context, choices=labels(hyperparameters))
    tuner = Tuner(
        tune.with_resources(trial, requirements(context, settings, side_by_side)),
        param_space={h.name: domain(h) for h in hyperparameters} if settings.searcher != "optuna" else {},
        tune_config=_tune_config(hyperparameters, settings, log, points, resumed=bool(before)),
        run_config=_run_config(log, scratch),
    )
    try:
        tuner.fit()
    except (InputError, RunError):
        raise
    except Exception as error:  # Tune wraps the cause in classes of its own
        last = (str(error).strip().splitlines() or [""])[-1]
        raise RunError(
            f"the sweep was interrupted: {last[:300]}; run the same command to continue"
        ) from error


def _tune_config(
    hyperparameters: Sequence[Hyperparameter],
    settings: Sweep,
    log: TrialLog,
    points: Sequence[Values],
    resumed: bool,
) -> TuneConfig:
    adaptive = settings.searcher == "optuna"
    return TuneConfig(
        metric=None if settings.cost else "score",
        mode=None if settings.cost else "min",
        search_alg=searcher(hyperparameters, settings, points, log.side_by_side, resumed),
        scheduler=scheduler(hyperparameters, settings, log),
        num_samples=log.planned,
        max_concurrent_trials=log.side_by_side if adaptive else None,
        reuse_actors=True,
    )


def _run_config(log: TrialLog, scratch: Store) -> RunConfig:
    filesystem, path = scratch.arrow()
    return RunConfig(
        name="tune",
        storage_path=path,
        storage_filesystem=filesystem,
        verbose=0,
        callbacks=[_Listener(log)],
        failure_config=FailureConfig(max_failures=1),  # a lost process restarts from its checkpoint
        checkpoint_config=CheckpointConfig(),
    )


def _trial(config: Values, context: TrialContext, choices: Mapping[str, Mapping[str, Any]]) -> None:
    """Run one trial: from the start, from the evaluation at which it paused, or from its donor's."""
    values, pointer = plain_to_values(config, choices), _pointer()
    schedule, donor = continued(pointer, values) if pointer else ([ScheduleEntry(values=values)], "")

    def on_report(report: TrialReport) -> None:
        full_report = report.model_copy(update={"schedule": schedule})
        if context.pointers:
            _report_with_pointer(full_report)
        else:
            tune.report(full_report.to_json())

    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = ENVIRONMENT["TUNE_FUNCTION_THREAD_TIMEOUT_S"]
    try:
        if context.model:
            sampled(context, values, on_report)
        elif context.workers > 1:
            _in_parts(context, schedule, on_report)
        else:
            trained(context, schedule, on_report, after=pointer.step if pointer else 0, donor=donor)
    except Exception as error:  # of any kind: one trial does not end a sweep
        failed = TrialReport(judged=0, score=WORST, cost=WORST, schedule=schedule, failed=reason(error))
        tune.report(failed.to_json())


def continued(pointer: TrialPointer, values: Values) -> tuple[list[ScheduleEntry], str]:
    """Return the schedule of a trial that continues from a pointer with these values, and its donor's folder.

    A trial that was only paused has the pointer's values, and no donor.
    """
    now: dict[str, Any] = {}
    for entry in pointer.schedule:
        now |= entry.values
    changed = {name: value for name, value in values.items() if label_of(now[name]) != label_of(value)}
    if not changed:
        return pointer.schedule, ""
    entry = ScheduleEntry(step=pointer.step, values=changed, donor=pointer.trial)
    return [*pointer.schedule, entry], pointer.uri


def _report_with_pointer(report: TrialReport) -> None:
    """Report an evaluation with a pointer to its checkpoint, from which other trials may continue."""
    trial_id = tune.get_context().get_trial_id()
    pointer = TrialPointer(schedule=report.schedule, step=report.step, uri=report.uri, trial=trial_id)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, POINTER).write_text(json.dumps(pointer.to_json()))
        tune.report(report.to_json(), checkpoint=tune.Checkpoint.from_directory(folder))


def _pointer() -> TrialPointer | None:
    """Return the pointer to the checkpoint that this trial continues from: its own or its donor's."""
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        return TrialPointer.model_validate(json.loads(Path(folder, POINTER).read_text()))


def _in_parts(context: TrialContext, schedule: Schedule, on_report: OnReport) -> None:
    """Run a trial of several workers as a Ray Train run for each evaluation.

    A trial that is stopped while its workers run would leave their placement group behind, so that later
    trials lack resources: it is stopped between two such runs, when it holds none.
    """
    reported = 0
    for judged in range(1, context.judgements + 1):
        reports: list[TrialReport] = []
        done = trained(context, schedule, reports.append, until=judged)
        for report in reports[reported:]:
            on_report(report)
        reported = len(reports)
        if done is not None:
            return


def scheduler(hyperparameters: Sequence[Hyperparameter], settings: Sweep, log: TrialLog) -> Any:
    """Return the scheduler, which stops trials or has them continue from one another."""
    if settings.scheduler == "asha":
        return DeterministicASHA(settings, log)
    if settings.scheduler == "pbt":
        return DeterministicPBT(hyperparameters, settings, log)
    return FIFO(log)


class _Listener(Callback):
    """Log when trials begin and end; schedulers log their reports."""

    def __init__(self, log: TrialLog):
        self.log = log

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log.start(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log.end(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log.end(trial.trial_id, LOST)
