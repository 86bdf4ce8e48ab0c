"""Trials of a sweep: train or sample with given values, and report every evaluation.

A trial is a stage of its own (`store/trial/<key>`), addressed by what it depends on: the same values are
never tried twice, an interrupted trial continues where it stopped, a stopped one can be looked at.
Evaluations that were made before are read from the store and reported again, so that a sweep which is run
again takes the same decisions without training anything.
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
from components.common.seeds import derive
from components.common.threads import using_threads
from components.common.validation import explain
from components.config.sweep import Sweep
from components.config.train import Train
from components.data.dataset import open_split
from components.evaluation.samples import open_model, sample_for_evaluation
from components.evaluation.snapshot import SnapshotEvaluator, open_jury
from components.families import catalogue
from components.families.catalogue import task_of
from components.records import names
from components.records.trial import FailedTrial, ScheduleEntry, TrialEvaluation, TrialReport, Values
from components.sampling import sheets
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.training import checkpoint, ray_train, request
from components.training.job import fit
from components.tuning import space

CURVE, FAILED = "curve.json", "failed.json"

STORED_WITHIN = 120.0  # seconds that a checkpoint may take to get into the store

COLLAPSED = 1e6  # added to the score of samples that are not diverse: behind all that are, in their order

WORST = 1e9  # the score of a trial that failed

ALL = 10**9  # evaluations: to the end

Schedule = Sequence[ScheduleEntry]
"""The values of a trial, the first entry at step 0."""

OnReport = Callable[[TrialReport], None]
"""Called with each report of a trial; may end the trial by raising."""


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep share; plain values."""

    run_id: str
    spec: Spec  # of a trial, but for its settings
    training: request.TrainRequest  # of a trial, but for the values that it tries
    model: str = ""  # the trained one, where nothing but sampling is searched
    metric: str = "auto"
    diversity: float = 0.5  # less is a collapse
    judgements: int = 8
    samples: int = 256
    pointers: bool = False  # whether trials continue from each other's checkpoints
    workers: int = 1

    @property
    def family(self) -> str:
        """The searched family."""
        return self.training.family

    @property
    def device(self) -> str:
        """The device of trials."""
        return self.training.device

    @property
    def threads(self) -> int:
        """Threads of a trial's process."""
        return int(self.training.train["torch_threads"])

    @property
    def store(self) -> Store:
        """The store with everything that a trial reads and writes."""
        return Store(self.training.store)


def training_of(context: TrialContext, schedule: Schedule, seed: int | None = None) -> request.TrainRequest:
    """The training job of a trial: its schedule of values, and its seed if it has one of its own."""
    first, *later = schedule
    block = space.applied({**context.training.config, "train": context.training.train}, first.values)
    setting_changes = [{"step": entry.step, "change": dict(entry.values)} for entry in later]
    train = (
        block.pop("train") | {"setting_changes": setting_changes} | ({} if seed is None else {"seed": seed})
    )
    return replace(context.training, config=block, train=train)


def spec_of(context: TrialContext, training: request.TrainRequest) -> Spec:
    """What a trial with this training job depends on.

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
    """What trials are compared by, lower is better; samples without diversity rank behind all others."""
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
    """Train a trial, or continue it; None if it is not to be trained to its end.

    Args:
        context: of the sweep.
        schedule: the trial's values.
        on_report: called for each evaluation, including those that were made before.
        after: the step that it continues from: evaluations up to there are not reported again.
        donor: the folder of the trial whose checkpoint of that step it continues from.
        until: evaluations after which to stop for now.
        seed: of the training; None: the sweep's.

    Raises:
        InputError: a value is not accepted, or does not go with the others.
        Diverged: a loss or a weight was not finite.
        RunError: it failed otherwise.
    """
    training = training_of(context, schedule, seed)
    spec, store = spec_of(context, training), context.store
    replayer = EvaluationReplayer(context, store, on_report, after)
    if failed := read_failure(store, spec):
        replayer.replay(failed.uri)
        raise Diverged(failed.reason)
    if done := cache.finished(store, spec):
        replayer.replay(done.uri)
        return done
    body = TrialTraining(context, spec, training, replayer, donor, until)
    try:
        return cache.run(store, spec, body, run_id=context.run_id)
    except Paused:
        return None
    except Diverged as error:  # which would fail again; a full disk or a store out of reach might not
        failure = FailedTrial(reason=str(error), uri=replayer.uri)
        store.write_json(f"{spec.uri}/{FAILED}", failure.to_json())
        raise


class Paused(Exception):
    """A trial has been trained as far as it is to be for now."""


def read_failure(store: Store, spec: Spec) -> FailedTrial | None:
    """Why a trial failed earlier, if it did."""
    path = f"{spec.uri}/{FAILED}"
    return FailedTrial.read(store.read_json(path)) if store.exists(path) else None


@dataclass(frozen=True)
class TrialTraining:
    """The body of a trial's stage: trains in the attempt's folder, from its newest checkpoint."""

    context: TrialContext
    spec: Spec
    training: request.TrainRequest
    replayer: EvaluationReplayer
    donor: str
    until: int

    def __call__(self, attempt: Store, number: int) -> Mapping[str, Any]:
        """Returns the stage's result; raises Paused if the trial is not at its end."""
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
        job = replace(self.training, attempt=uri, stop_at=self._stop_at())
        if self.context.workers == 1:
            fit(job, report=lambda *report: self.replayer.add(attempt, uri, *report))
        else:
            ray_train.fit(job, name)
            complete_curve(attempt)

    def _stop_at(self) -> int | None:
        """The step of the last evaluation to make for now; None: the last step."""
        train = self.training.train
        if self.until >= train["num_snapshots"]:
            return None
        return int(self.until * (train["steps"] // train["num_snapshots"]))


def reason(error: Exception) -> str:
    """Why a trial failed, in a line."""
    first = str(error).splitlines()[0] if str(error) else "no reason given"
    return first if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {first}"


def read_curve(attempt: Store) -> list[TrialEvaluation]:
    """The evaluations of an attempt so far."""
    points = attempt.read_json(CURVE) if attempt.exists(CURVE) else []
    return [evaluation for evaluation in map(TrialEvaluation.read, points) if evaluation]


def write_curve(attempt: Store, evaluations: Sequence[TrialEvaluation]) -> None:
    """Write the evaluations of an attempt."""
    attempt.write_json(CURVE, [evaluation.to_json() for evaluation in evaluations])


def complete_curve(attempt: Store) -> None:
    """Add to the curve the evaluations that only the newest checkpoint has: of workers, or before a kill."""
    state = checkpoint.newest(attempt)
    if state is None:
        return
    control: Mapping[str, Any] = state["control"]
    evaluations = read_curve(attempt)
    points = [point for point in control["curve"] if point["step"]]  # the first: before training
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
    """Begin an attempt with the donor's checkpoint and curve, unless it has begun.

    If that checkpoint no longer exists, the trial is trained from its first step: it is a function of its
    schedule, so the result is the same.
    """
    name = checkpoint.name(step)
    if checkpoint.checkpoint_ids(attempt) or not donor.exists(name):
        return
    write_curve(attempt, [evaluation for evaluation in read_curve(donor) if evaluation.step <= step])
    attempt.write_bytes(name, donor.read_bytes(name))


class EvaluationReplayer:
    """Reports each evaluation of a trial once, whether it is made now or was made before."""

    def __init__(self, context: TrialContext, store: Store, on_report: OnReport, after: int):
        self.context, self.store, self.on_report, self.after = context, store, on_report, after
        self.judged, self.uri = 0, ""

    def replay(self, uri: str) -> None:
        """Report the evaluations in an attempt's folder that were not reported."""
        self.uri = uri
        for evaluation in read_curve(self.store.child(uri)):
            self._report(evaluation)

    def add(self, attempt: Store, uri: str, step: int, metrics: Mapping[str, float], name: str) -> None:
        """Save and report an evaluation that a training reports, once its checkpoint `name` is stored."""
        if "snapshot/kid" not in metrics:
            return
        until = time.monotonic() + STORED_WITHIN
        while not attempt.exists(name) and time.monotonic() < until:
            time.sleep(0.05)
        before = [evaluation for evaluation in read_curve(attempt) if evaluation.step < step]
        values = {
            key.removeprefix("snapshot/"): v for key, v in metrics.items() if key.startswith("snapshot/")
        }
        evaluation = TrialEvaluation(
            judged=len(before) + 1, step=step, seconds=metrics["seconds"], metrics=values
        )
        write_curve(attempt, [*before, evaluation])
        self.uri = uri
        self._report(evaluation)

    def _report(self, evaluation: TrialEvaluation) -> None:
        if evaluation.judged <= self.judged:
            return
        self.judged = evaluation.judged
        if evaluation.step <= self.after:
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
    """Sample the model with changed settings of sampling, and evaluate the images.

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

    done = cache.run(store, spec, body, run_id=context.run_id)
    EvaluationReplayer(context, store, on_report, after=0).replay(done.uri)
    return done


def sample(
    context: TrialContext, model: str, n: int, seed: int, change: Values | None = None
) -> tuple[np.ndarray, float, SnapshotEvaluator]:
    """The first `n` images of a seed by a stored model, the seconds of work, and what evaluates them."""
    store, training = context.store, context.training
    changes = {name: (name, value) for name, value in (change or {}).items()}
    folders = training.data, training.captions, "validation"
    generator, inputs = open_model(store, model, *folders, context.device, changes)
    n = inputs.most(n)
    jury = open_jury(store, training.reference, training.extractor, inputs.split, n, inputs.task)
    clock = time.process_time if context.device == "cpu" else time.perf_counter  # whatever else runs here
    samples = sample_for_evaluation(generator, inputs, n, seed, device=context.device, clock=clock)
    return samples.images, samples.seconds, jury


def train_of(sweep: Sweep, train: Mapping[str, Any]) -> dict[str, Any]:
    """The training settings of trials: the experiment's own, with fewer steps and with evaluations.

    Raises:
        InputError: they do not go together.
    """
    if train["health"] == "treat":
        raise InputError(
            "trials: train.health=treat changes settings and goes back while a trial trains, so that its "
            "judgements would not be those of its values; use observe or stop"
        )
    if train["setting_changes"]:
        raise InputError(
            "trials: train.setting_changes are what a population finds; a sweep starts without them"
        )
    steps = sweep.steps or train["steps"]
    if steps % sweep.evaluations:
        raise InputError(
            f"a trial of {steps} steps cannot be cut into sweep.evaluations={sweep.evaluations} parts"
        )
    settings = {
        **train,
        "steps": steps,
        "num_snapshots": sweep.evaluations,
        "checkpoint_every": steps // sweep.evaluations,
        "snapshot_samples": sweep.samples,
        "ema_sigma_rel": [],
        "workers": sweep.workers,
    }
    try:
        Train(**settings)
    except ValidationError as error:
        raise InputError(f"trials: {explain(error, 'train', Train)}") from None
    return settings


def check_metric(family: str, metric: str) -> None:
    """Raises InputError if a family has no such metric."""
    if metric == "mse" and "pairs" not in task_of(family).metrics:
        raise InputError(
            f"sweep.metric: mse compares images with what they should be, which {family} is not told; "
            "known for it: auto, frechet_distance, kid"
        )


def metric_of(context: TrialContext) -> str:
    """The metric that trials are compared by, with nothing left to choose.

    Raises:
        InputError: the family has no such metric.
    """
    check_metric(context.family, context.metric)
    if context.metric != "auto":
        return context.metric
    store, training = context.store, context.training
    validation = open_split(store.local_copy(training.data), "validation")
    n, task = min(context.samples, len(validation)), task_of(context.family)
    return open_jury(store, training.reference, training.extractor, validation, n, task).measure
