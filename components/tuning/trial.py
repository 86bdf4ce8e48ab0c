"""What a worker is sent to do in a sweep: train a trial, or draw one, and say on the way how good it is.

A trial is a stage of its own (`store/trial/<key>`), addressed by what it depends on: the same values are
never tried twice, an interrupted trial goes on where it stopped, one that was stopped is there to be seen.
What a trial says is read again from the store where it was said before, so that a sweep which is run again
takes the same decisions without training anything.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from components.evaluation.snapshot import Jury, open_jury
from components.families import catalogue
from components.families.catalogue import task_of
from components.records import names
from components.sampling import sheets
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.training import checkpoint, ray_train, request
from components.training.job import fit
from components.tuning import space

CURVE, FAILED, TRIAL = "curve.json", "failed.json", "trial.json"

STORED_WITHIN = 120.0  # seconds that a checkpoint may take to get into the store

COLLAPSED = 1e6  # added to the score of samples that are not diverse: behind all that are, in their order

WORST = 1e9  # the score of a trial that failed

RUN = 10**9  # judgements: to the end

Said = dict[str, Any]
"""What a trial says at a judgement.

judged (from 1), step, score (lower is better), value, diversity, seconds of work so far.
"""


@dataclass(frozen=True)
class Terms:
    """What all trials of a sweep have in common; plain values."""

    store: str  # URL
    run_id: str
    family: str
    block: dict[str, Any]  # the family's settings in full, those of training under `train`
    spec: Spec  # of a trial, but for its settings
    data: str  # folders in the store
    reference: str
    extractor: str
    captions: str = ""
    upstream: Mapping[str, str] = field(default_factory=dict)
    latents: str = ""
    model: str = ""  # the trained one, where nothing but sampling is searched
    device: str = "cpu"
    flips: bool = False
    metric: str = "auto"
    diversity: float = 0.5  # less is a collapse
    judgements: int = 8
    samples: int = 256
    pointers: bool = False  # whether trials go on from one another
    checkpoints: int = checkpoint.KEEP  # of a trial under way, from which another may go on
    workers: int = 1

    @property
    def threads(self) -> int:
        """Of a trial's process."""
        return int(self.block["train"]["threads"])


Schedule = Sequence[Mapping[str, Any]]
"""Entries {"step", "values"}, the first at step 0."""


def block_of(terms: Terms, schedule: Schedule, **train: Any) -> dict[str, Any]:
    """The settings of a trial with a schedule of values, and training settings of its own."""
    first, *later = schedule
    block = space.applied(terms.block, first["values"])
    stones = [{"step": entry["step"], "change": dict(entry["values"])} for entry in later]
    return block | {"train": block["train"] | {"milestones": stones} | train}


def spec_of(terms: Terms, block: Mapping[str, Any]) -> Spec:
    """What a trial with these settings depends on.

    Raises:
        InputError: a value is not accepted, or does not go with the others.
    """
    own = {name: value for name, value in block.items() if name != "train"}
    try:
        settings = Train(**block["train"])
    except ValidationError as error:
        raise InputError(explain(error, "train", Train)) from None
    full = catalogue.config_of(terms.family, own) | {"train": settings.semantic(), "flips": terms.flips}
    return replace(terms.spec, settings=full)


def score_of(terms: Terms, value: float, diversity: float) -> float:
    """What is compared, lower the better: samples that are not diverse come after all that are."""
    if not math.isfinite(value):
        return WORST
    return value + (COLLAPSED if diversity < terms.diversity else 0.0)


def trained(
    terms: Terms,
    schedule: Schedule,
    tell: Callable[[Said], None],
    *,
    after: int = 0,
    donor: str = "",
    until: int = RUN,
    **train: Any,
) -> Done | None:
    """Train a trial, or go on with it; None where it is not to be trained to its end.

    Args:
        terms: of the sweep.
        schedule: the trial's values.
        tell: told at every judgement, of those that were made before too; may end the trial by raising.
        after: the step that it goes on from: what was judged up to there is not told again.
        donor: folder of the trial whose checkpoint of that step it goes on from.
        until: judgements after which to stop for now.
        train: settings of training that are this trial's own, such as its seed.

    Raises:
        InputError: a value is not accepted, or does not go with the others.
        Diverged: the training came to numbers that are not finite.
        RunError: it failed otherwise.
    """
    block = block_of(terms, schedule, **train)
    spec, store = spec_of(terms, block), Store(terms.store)
    told = _Teller(terms, store, tell, after)
    if store.exists(f"{spec.uri}/{FAILED}"):
        known = store.read_json(f"{spec.uri}/{FAILED}")
        told.again(known["uri"])
        raise Diverged(known["reason"])
    if done := cache.finished(store, spec):
        told.again(done.uri)
        return done

    def body(attempt: Store, number: int) -> dict[str, Any]:
        uri = attempt.root.removeprefix(store.root).strip("/")
        if donor:
            _take_over(store, donor, attempt, after)
        _read_curve(attempt)
        told.again(uri)
        if told.judged >= until:
            raise Paused
        job = request.Fit(
            terms.family,
            config={name: value for name, value in block.items() if name != "train"},
            train=block["train"],
            data=terms.data,
            attempt=uri,
            store=terms.store,
            reference=terms.reference,
            extractor=terms.extractor,
            captions=terms.captions,
            device=terms.device,
            flips=terms.flips,
            upstream=dict(terms.upstream),
            latents=terms.latents,
            stop_at=_steps(block, until),
            checkpoints=terms.checkpoints,
        )
        _fit(terms, job, f"trial-{spec.key}-{number}", lambda *said: told.now(attempt, uri, *said))
        if terms.workers > 1:
            _read_curve(attempt)
        told.again(uri)
        if not attempt.exists(names.RESULT):
            raise Paused
        result = attempt.read_json(names.RESULT)
        return {"trained": result, "work_seconds": result["work_seconds"]}

    try:
        return cache.run(store, spec, body, run_id=terms.run_id)
    except Paused:
        return None
    except Diverged as error:  # which would fail again; a full disk or a store out of reach might not
        store.write_json(f"{spec.uri}/{FAILED}", {"reason": str(error), "uri": told.uri})
        raise


def reason(error: Exception) -> str:
    """Why a trial failed, in a line."""
    said = str(error).splitlines()[0] if str(error) else "no reason given"
    return said if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {said}"


class Paused(Exception):
    """A trial has come as far as it was to come for now."""


def _steps(block: Mapping[str, Any], until: int) -> int | None:
    """The step at which so many judgements are made; None: the last."""
    train = block["train"]
    return None if until >= train["sample_grids"] else until * (train["steps"] // train["sample_grids"])


def _fit(terms: Terms, job: request.Fit, name: str, report: Callable[..., None]) -> None:
    """Train in this process, or under Ray Train where a trial has several workers."""
    if terms.workers == 1:
        fit(job, report=report)
        return

    ray_train.fit(job, name)


def _read_curve(attempt: Store) -> None:
    """Keep what was judged and not kept, which the newest checkpoint knows: by workers, or before a kill."""
    state = checkpoint.newest(attempt)
    if state is None:
        return
    control: dict[str, Any] = state["control"]
    known = attempt.read_json(CURVE) if attempt.exists(CURVE) else []
    points = [point for point in control["curve"] if point["step"]]  # the first: before training
    told = [
        {"judged": judged, "seconds": control["seconds"], **point}
        for judged, point in enumerate(points[len(known) :], len(known) + 1)
    ]
    if told:
        attempt.write_json(CURVE, [*known, *told])


def _take_over(store: Store, donor: str, attempt: Store, step: int) -> None:
    """Begin an attempt with another's checkpoint and curve, unless it has begun.

    Where that checkpoint is no longer there, the trial is trained from its first step: it is a function of
    its schedule, so it comes to the same.
    """
    source, name = store.child(donor), checkpoint.name(step)
    if checkpoint.moments(attempt) or not source.exists(name):
        return
    curve = [said for said in source.read_json(CURVE) if said["step"] <= step]
    attempt.write_json(CURVE, curve)
    attempt.write_bytes(name, source.read_bytes(name))


class _Teller:
    """Tells each judgement of a trial once, whether it is made now or was made before."""

    def __init__(self, terms: Terms, store: Store, tell: Callable[[Said], None], after: int):
        self.terms, self.store, self.tell, self.after = terms, store, tell, after
        self.judged, self.uri = 0, ""

    def again(self, uri: str) -> None:
        """Tell what an attempt's folder knows, and was not told."""
        self.uri = uri
        path = f"{uri}/{CURVE}"
        for said in self.store.read_json(path) if self.store.exists(path) else []:
            self._tell(said, uri)

    def now(self, attempt: Store, uri: str, step: int, metrics: Mapping[str, float], name: str) -> None:
        """Keep and tell what a training reports with a checkpoint, as soon as that is in the store."""
        if "judged/kid" not in metrics:
            return
        until = time.monotonic() + STORED_WITHIN
        while not attempt.exists(name) and time.monotonic() < until:
            time.sleep(0.05)
        curve = attempt.read_json(CURVE) if attempt.exists(CURVE) else []
        curve = [said for said in curve if said["step"] < step]
        values = {key.removeprefix("judged/"): v for key, v in metrics.items() if key.startswith("judged/")}
        said = {"judged": len(curve) + 1, "step": step, "seconds": metrics["seconds"], **values}
        attempt.write_json(CURVE, [*curve, said])
        self._tell(said, uri)

    def _tell(self, said: Said, uri: str) -> None:
        if said["judged"] <= self.judged:
            return
        self.judged = said["judged"]
        if said["step"] > self.after:
            value = said[self.terms.metric]
            score = score_of(self.terms, value, said["diversity"])
            cost = said.get("cost", said["seconds"])
            self.tell(said | {"value": value, "score": score, "cost": cost, "uri": uri})


def drawn(terms: Terms, values: Mapping[str, Any], tell: Callable[[Said], None]) -> Done:
    """Draw with some settings of sampling changed, and judge the images.

    Raises:
        InputError: a value is not accepted.
        RunError: the images are not finite.
    """
    settings = {"change": dict(values), "samples": terms.samples, "threads": terms.threads}
    seed = derive(terms.block["train"]["seed"], "select")
    spec, store = replace(terms.spec, settings=settings | {"seed": seed}), Store(terms.store)

    def body(attempt: Store, number: int) -> dict[str, Any]:
        with using_threads(terms.threads):
            began = time.perf_counter()
            images, seconds, jury = judged_draw(terms, terms.model, terms.samples, seed, values)
            found = jury(images)
            sheet = sheets.encode_webp(sheets.grid(images[: sheets.SHEET_COLUMNS]))
            attempt.write_bytes("samples/drawn.webp", sheet)
            said = {"judged": 1, "step": 1, "seconds": time.perf_counter() - began}
            found = {name: value for name, value in found.items() if name != "score"}
            said |= {**found, "cost": seconds / len(images)}
        attempt.write_json(CURVE, [said])
        return {"drawn": said, "work_seconds": said["seconds"]}

    done = cache.run(store, spec, body, run_id=terms.run_id)
    _Teller(terms, store, tell, 0).again(done.uri)
    return done


def judged_draw(
    terms: Terms, model: str, n: int, seed: int, change: Mapping[str, Any] | None = None
) -> tuple[np.ndarray, float, Jury]:
    """The first `n` images of a seed by a model in the store, the seconds of work, and what judges them."""
    store = Store(terms.store)
    changes = {name: (name, value) for name, value in (change or {}).items()}
    folders = terms.data, terms.captions, "validation"
    generator, inputs = open_model(store, model, *folders, terms.device, changes)
    n = inputs.most(n)
    jury = open_jury(store, terms.reference, terms.extractor, inputs.split, n, inputs.task)
    clock = time.process_time if terms.device == "cpu" else time.perf_counter  # of work, whoever else works
    samples = sample_for_evaluation(generator, inputs, n, seed, device=terms.device, clock=clock)
    return samples.images, samples.seconds, jury


def train_of(sweep: Sweep, train: Mapping[str, Any]) -> dict[str, Any]:
    """The training settings of trials: the experiment's own, shorter, judged on the way.

    Raises:
        InputError: they do not go together.
    """
    if train["health"] == "treat":
        raise InputError(
            "trials: train.health=treat changes settings and goes back while a trial trains, so that its "
            "judgements would not be those of its values; use observe or stop"
        )
    if train["milestones"]:
        raise InputError("trials: train.milestones are what a population finds; a sweep starts without them")
    steps = sweep.steps or train["steps"]
    if steps % sweep.judgements:
        raise InputError(
            f"a trial of {steps} steps cannot be cut into sweep.judgements={sweep.judgements} parts"
        )
    own = {"steps": steps, "sample_grids": sweep.judgements, "checkpoint_every": steps // sweep.judgements}
    own |= {"judge_samples": sweep.samples, "ema_lengths": [], "workers": sweep.workers}
    try:
        Train(**{**train, **own})
    except ValidationError as error:
        raise InputError(f"trials: {explain(error, 'train', Train)}") from None
    return {**train, **own}


def check_metric(family: str, metric: str) -> None:
    """Raises InputError where a family has no such measure."""
    if metric == "mse" and "pairs" not in task_of(family).metrics:
        raise InputError(
            f"sweep.metric: mse compares images with what they should be, which {family} is not told; "
            "known for it: auto, frechet_distance, kid"
        )


def metric_of(terms: Terms) -> str:
    """What trials are compared by, with nothing left to choose.

    Raises:
        InputError: the family has no such measure.
    """
    check_metric(terms.family, terms.metric)
    if terms.metric != "auto":
        return terms.metric
    store = Store(terms.store)
    validation = open_split(store.local_copy(terms.data), "validation")
    n, task = min(terms.samples, len(validation)), task_of(terms.family)
    return open_jury(store, terms.reference, terms.extractor, validation, n, task).measure
