"""Trials of a sweep: train or sample with given values, and report every evaluation.

A trial is a stage of its own (`store/trial/<key>`) whose key is a hash of its inputs: the same values are
never tried twice, an interrupted trial continues where it stopped, and a stopped one can be inspected.
Earlier evaluations are read from the store and reported again, so that a repeated sweep makes the same
decisions without any training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from components.common.errors import Diverged, InputError, RunError
from components.common.public import public
from components.common.seeds import derive
from components.common.threads import using_threads
from components.common.validation import explain
from components.config.train import Train
from components.data.dataset import open_split
from components.evaluation.samples import open_model, sample_for_evaluation
from components.evaluation.snapshot import SnapshotEvaluator, open_evaluator
from components.families import catalogue
from components.families.catalogue import task_of
from components.records import names
from components.records.trial import FailedTrial, ScheduleEntry, TrialEvaluation, TrialReport, Values
from components.sampling import sheets
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import outlasting
from components.training import checkpoint, ray_train, request
from components.training.job import fit
from components.tuning import space
from components.tuning.trial_context import COLLAPSED, WORST, TrialContext

CURVE, FAILED = "curve.json", "failed.json"

STORED_WITHIN = 120.0  # seconds to wait for a checkpoint to be stored


ALL = 10**9  # evaluations: train to the end

Schedule = Sequence[ScheduleEntry]
"""The values of a trial, the first entry at step 0."""

OnReport = Callable[[TrialReport], None]
"""Called with each report of a trial; may end the trial by raising."""


def training_of(context: TrialContext, schedule: Schedule, seed: int | None = None) -> request.TrainRequest:
    """Return the training request of a trial with its schedule of values and, if given, another seed.

    Settings that count steps are for the experiment's training; a shorter trial reduces them accordingly.
    """
    first, *later = schedule
    family, share = context.family, context.share
    block = space.applied({**context.training.config, "train": context.training.train}, first.values)
    block = space.reduced(family, block, share)
    setting_changes = [
        {"step": entry.step, "change": space.reduced(family, entry.values, share)} for entry in later
    ]
    train = (
        block.pop("train") | {"setting_changes": setting_changes} | ({} if seed is None else {"seed": seed})
    )
    return replace(context.training, config=block, train=train)


def spec_of(context: TrialContext, training: request.TrainRequest) -> Spec:
    """Return the spec of a trial with this training request.

    Raises:
        InputError: a value is not accepted, or does not go with the others.
    """
    try:
        settings = Train(**training.train)
    except ValidationError as error:
        raise InputError(explain(error, "train", Train)) from None
    config = catalogue.config_of(context.family, training.config)
    shared = {"train": settings.semantic(), "flips": training.flips}
    return replace(context.spec, settings={**config, **shared})


def score_of(context: TrialContext, value: float | None, diversity: float | None) -> float:
    """Return the score that trials are compared by; lower is better, and collapsed samples rank last."""
    if value is None or not math.isfinite(value):
        return WORST
    collapsed = diversity is not None and diversity < context.diversity
    return value + (COLLAPSED if collapsed else 0.0)


def trained(
    context: TrialContext,
    schedule: Schedule,
    on_report: OnReport,
    *,
    after: int = 0,
    donor: str = "",
    until: int = ALL,
    seed: int | None = None,
) -> Done | None:
    """Train a trial or continue it; return None if it stops before its end.

    Args:
        context: settings that trials share.
        schedule: the trial's values.
        on_report: callback for each evaluation, including replayed ones.
        after: step to continue from: evaluations up to this step are not reported again.
        donor: folder of the trial with the checkpoint of that step.
        until: number of evaluations after which to stop for now.
        seed: seed of the training; None: the sweep's.

    Raises:
        InputError: a value is not accepted, or does not go with the others.
        Diverged: a loss or a weight was not finite.
        RunError: it failed otherwise.
    """
    training = training_of(context, schedule, seed)
    spec, store = spec_of(context, training), context.store
    replayer = EvaluationReplayer(context, store, on_report, after)
    if failed := outlasting(lambda: read_failure(store, spec)):
        replayer.replay(failed.uri)
        raise Diverged(failed.reason)
    if done := outlasting(lambda: cache.finished(store, spec)):
        replayer.replay(done.uri)
        return done
    body = TrialTraining(context, spec, training, replayer, donor, until)
    try:
        return outlasting(lambda: cache.run(store, spec, body, run_id=context.run_id))
    except Paused:
        return None
    except Diverged as error:  # it would fail again, unlike other errors
        failure = FailedTrial(reason=public(str(error)), uri=replayer.uri)
        outlasting(lambda: store.write_json(f"{spec.uri}/{FAILED}", failure.to_json()))
        raise


class Paused(Exception):
    """Raised when a trial has reached the evaluation to stop at for now."""


def read_failure(store: Store, spec: Spec) -> FailedTrial | None:
    """Return the record of an earlier failure of a trial, if there was one."""
    path = f"{spec.uri}/{FAILED}"
    return FailedTrial.read(store.read_json(path)) if store.exists(path) else None


@dataclass(frozen=True)
class TrialTraining:
    """The body of a trial's stage: train in the attempt's folder, from its newest checkpoint."""

    context: TrialContext
    spec: Spec
    training: request.TrainRequest
    replayer: EvaluationReplayer
    donor: str
    until: int

    def __call__(self, attempt: Store, number: int) -> Mapping[str, Any]:
        """Return the stage's result; raise Paused if the trial is not at its end."""
        store = self.replayer.store
        uri = attempt.root.removeprefix(store.root).strip("/")
        if self.donor:
            copy_checkpoint(store.child(self.donor), attempt, self.replayer.after)
        complete_curve(attempt)
        self.replayer.replay(uri)
        if self.replayer.judged >= self.until:
            raise Paused
        self._fit(attempt, uri, f"trial-{self.spec.key}-{number}")
        self.replayer.replay(uri)
        if not attempt.exists(names.RESULT):
            raise Paused
        result = attempt.read_json(names.RESULT)
        return {"trained": result, "work_seconds": result["work_seconds"]}

    def _fit(self, attempt: Store, uri: str, name: str) -> None:
        """Train in this process, or under Ray Train if a trial has several workers."""
        store = self.training.store.fenced(attempt.fence)
        job = replace(self.training, store=store, attempt=uri, stop_at=self._stop_at())
        if self.context.workers == 1:
            fit(job, report=lambda *report: self.replayer.add(attempt, uri, *report))
        else:
            ray_train.fit(job, name)
            complete_curve(attempt)

    def _stop_at(self) -> int | None:
        """Return the step of the last evaluation to make for now; None: the last step."""
        train = self.training.train
        if self.until >= train["num_snapshots"]:
            return None
        return int(self.until * (train["steps"] // train["num_snapshots"]))


def reason(error: Exception) -> str:
    """Return why a trial failed, as one line without credentials and private folders."""
    first = public(str(error).splitlines()[0]) if str(error) else "no reason given"
    return first if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {first}"


def read_curve(attempt: Store) -> list[TrialEvaluation]:
    """Return the evaluations of an attempt so far."""
    points = attempt.read_json(CURVE) if attempt.exists(CURVE) else []
    return [evaluation for evaluation in map(TrialEvaluation.read, points) if evaluation]


def write_curve(attempt: Store, evaluations: Sequence[TrialEvaluation]) -> None:
    """Write the evaluations of an attempt."""
    attempt.write_json(CURVE, [evaluation.to_json() for evaluation in evaluations])


def complete_curve(attempt: Store) -> None:
    """Add evaluations that only the newest checkpoint has, from workers or before a kill, to the curve."""
    state = checkpoint.newest(attempt)
    if state is None:
        return
    control: Mapping[str, Any] = state["control"]
    evaluations = read_curve(attempt)
    points = [point for point in control["curve"] if point["step"]]  # step 0 is before training
    added = [
        TrialEvaluation(
            judged=judged,
            step=point["step"],
            seconds=control["seconds"],
            metrics={name: value for name, value in point.items() if name != "step"},
        )
        for judged, point in enumerate(points[len(evaluations) :], len(evaluations) + 1)
    ]
    if added:
        write_curve(attempt, evaluations + added)


def copy_checkpoint(donor: Store, attempt: Store, step: int) -> None:
    """Start an attempt with the donor's checkpoint and curve, unless it has started.

    If that checkpoint no longer exists, the trial is trained from its first step, with the same result, since
    it is a function of its schedule.
    """
    name = checkpoint.name(step)
    if checkpoint.checkpoint_ids(attempt) or not donor.exists(name):
        return
    write_curve(attempt, [evaluation for evaluation in read_curve(donor) if evaluation.step <= step])
    attempt.write_bytes(name, donor.read_bytes(name))


class EvaluationReplayer:
    """Report each evaluation of a trial once, whether it is new or replayed."""

    def __init__(self, context: TrialContext, store: Store, on_report: OnReport, after: int):
        self.context, self.store, self.on_report, self.after = context, store, on_report, after
        self.judged, self.uri = 0, ""

    def replay(self, uri: str) -> None:
        """Report the evaluations in an attempt's folder that were not reported yet."""
        self.uri = uri
        for evaluation in outlasting(lambda: read_curve(self.store.child(uri))):
            self._report(evaluation)

    def add(self, attempt: Store, uri: str, step: int, metrics: Mapping[str, float], name: str) -> None:
        """Save and report a new evaluation, once its checkpoint `name` is stored; wait out an outage."""
        if "snapshot/kid" in metrics:
            self.uri = uri
            self._report(outlasting(lambda: self._saved(attempt, step, metrics, name)))

    def _saved(self, attempt: Store, step: int, metrics: Mapping[str, float], name: str) -> TrialEvaluation:
        deadline = time.monotonic() + STORED_WITHIN
        while not attempt.exists(name) and time.monotonic() < deadline:
            time.sleep(0.05)
        before = [evaluation for evaluation in read_curve(attempt) if evaluation.step < step]
        values = {k.removeprefix("snapshot/"): v for k, v in metrics.items() if k.startswith("snapshot/")}
        judged, seconds = len(before) + 1, metrics["seconds"]
        evaluation = TrialEvaluation(judged=judged, step=step, seconds=seconds, metrics=values)
        write_curve(attempt, [*before, evaluation])
        return evaluation

    def _report(self, evaluation: TrialEvaluation) -> None:
        is_new, self.judged = evaluation.judged > self.judged, max(self.judged, evaluation.judged)
        if not is_new or evaluation.step <= self.after:
            return
        value, diversity = (evaluation.metrics.get(name) for name in (self.context.metric, "diversity"))
        self.on_report(
            TrialReport(
                judged=evaluation.judged,
                step=evaluation.step,
                score=score_of(self.context, value, diversity),
                value=value,
                diversity=diversity,
                seconds=evaluation.seconds,
                cost=evaluation.seconds if evaluation.cost is None else evaluation.cost,
                uri=self.uri,
            )
        )


def sampled(context: TrialContext, values: Values, on_report: OnReport) -> Done:
    """Sample the model with changed sampling settings, and evaluate the images.

    Raises:
        InputError: a value is not accepted.
        RunError: the images are not finite.
    """
    seed = derive(context.training.train["seed"], "select")
    settings = {"change": dict(values), "samples": context.samples, "threads": context.threads, "seed": seed}
    spec, store = replace(context.spec, settings=settings), context.store

    def body(attempt: Store, number: int) -> Mapping[str, Any]:
        with using_threads(context.threads):
            began = time.perf_counter()
            images, seconds, jury = sample(context, context.model, context.samples, seed, values)
            metrics = jury(images)
            sheet = sheets.encode_webp(sheets.grid(images[: sheets.SHEET_COLUMNS]))
            attempt.write_bytes("samples/drawn.webp", sheet)
            evaluation = TrialEvaluation(
                judged=1,
                step=1,
                seconds=time.perf_counter() - began,
                metrics=metrics,
                cost=seconds / len(images),
            )
        write_curve(attempt, [evaluation])
        return {"drawn": evaluation.to_json(), "work_seconds": evaluation.seconds}

    done = outlasting(lambda: cache.run(store, spec, body, run_id=context.run_id))
    EvaluationReplayer(context, store, on_report, after=0).replay(done.uri)
    return done


def sample(
    context: TrialContext, model: str, n: int, seed: int, change: Values | None = None
) -> tuple[np.ndarray, float, SnapshotEvaluator]:
    """Return the first `n` images of a seed from a stored model, the seconds of work, and the evaluator."""
    store, training = context.store, context.training
    changes = {name: (name, value) for name, value in (change or {}).items()}
    folders = training.data, training.captions, "validation"
    generator, inputs = open_model(store, model, *folders, context.device, changes)
    n = inputs.most(n)
    jury = open_evaluator(*training.judged_by, inputs.split, n, inputs.task)
    clock = (
        time.process_time if context.device == "cpu" else time.perf_counter
    )  # CPU time is independent of other processes
    samples = sample_for_evaluation(generator, inputs, n, seed, device=context.device, clock=clock)
    return samples.images, samples.seconds, jury


def check_metric(family: str, metric: str) -> None:
    """Raise InputError if a family has no such metric."""
    if metric == "mse" and "pairs" not in task_of(family).metrics:
        raise InputError(
            f"sweep.metric: mse needs target images, which {family} does not have; "
            "use auto, frechet_distance or kid"
        )


def metric_of(context: TrialContext) -> str:
    """Return the metric that trials are compared by, with `auto` resolved.

    Raises:
        InputError: the family has no such metric.
    """
    check_metric(context.family, context.metric)
    if context.metric != "auto":
        return context.metric
    store, training = context.store, context.training
    validation = open_split(store.local_copy(training.data), "validation")
    n, task = min(context.samples, len(validation)), task_of(context.family)
    return open_evaluator(*training.judged_by, validation, n, task).measure
