"""One run in this process: its plan, record and progress display, and how it runs a stage."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from components import report
from components.cluster import resources
from components.common.errors import InputError, sentence
from components.common.interruption import interrupted
from components.common.paths import home
from components.common.progress import watched_by
from components.common.public import public
from components.common.units import duration
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.data.local import data_version
from components.data.sources.splits import evaluable
from components.pipeline import prepare, train
from components.pipeline.check import check
from components.pipeline.expected import Estimates, disk, forecast
from components.pipeline.graph import planned
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.health import HealthEvent
from components.records.names import DAMAGED, EVENT, INITIAL
from components.records.stored import TrainingProgress
from components.records.training import WarmStart
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import SCHEMA, Spec, difference
from components.store import Store
from components.store.errors import unless_torn
from components.tuning.space import hyperparameters
from flows.live_page import LivePage
from flows.progress import QUIET, ProgressDisplay
from flows.record import Record

POLL = 1.0  # seconds between reads of a training's progress
PAGE = 15.0  # seconds, at least, between updates of the page of a running sweep
STARVED, BUSY = 0.25, 70.0  # share of the time waited for images, and percent of a GPU's time: it starves
STEADY = 10.0  # seconds of training after which its rate foretells the rest
ARTIFACT = 5.0  # seconds between updates of Prefect's progress artifact

RUNS: dict[str, Run] = {}
"""The runs of this process by id: tasks get the id, which is small and JSON, and look up the run here."""


@dataclass
class TrainingDisplay:
    """The state of a training that was last displayed."""

    begun: bool = False
    diagnoses: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    initial: bool = False  # whether what it took of another model was
    first: tuple[int, float, float] | None = None  # step, time and seconds waited of the first progress
    rates: dict[str, float] = field(default_factory=dict)  # as in the stage's entry of run.json
    announced: bool = False  # whether what the rest takes was displayed
    starved: bool = False  # whether a warning was displayed
    artifact: Any = None  # Prefect's
    updated: float = 0.0  # time of the artifact's last update


def to_compute(plan: Plan, store: Store, force: Collection[str]) -> list[tuple[Stage, Spec]]:
    """Return the stages of a plan that must be computed: those forced, and those without a result."""
    stages = planned(plan).values()
    return [(s, spec) for s, spec in stages if spec.stage in force or not cache.claimed(store, spec)]


class Run:
    """The state that the tasks of one flow run share."""

    plan: Plan  # set as soon as the version of the data is known

    def __init__(
        self,
        run_id: str,
        experiment: Experiment,
        store: Store,
        record: Record,
        board: ProgressDisplay,
        *,
        force: Collection[str] = (),
        explain: bool = False,
        version: str | None = None,
    ):
        self.version = version  # of the data, if another machine has put it into the store
        self.run_id, self.experiment, self.store = run_id, experiment, store
        self.record, self.board = record, board
        self.force, self.explain = force, explain
        self.failed: dict[str, str] = {}  # family -> reason
        self.results: dict[str, Done] = {}  # finished stages by name, such as train/vae
        self.page_built = 0.0
        self.live_page = LivePage(self.build_page)
        RUNS[run_id] = self

    def make_plan(self) -> None:
        """Prepare and version the data if necessary; make the plan of the run and check it."""
        data, version = self.experiment.data, self.version
        if version is None:
            snapshot, version = data_version(home(), data.name, data.revision, refreshed=data.refresh)
            card = DatasetCard.read(snapshot)
        elif stored := prepare.stored(self.store, data.name, version):
            card = stored
        else:
            raise InputError(
                f"the store has lost version {version} of {data.name}; run the same command again"
            )
        self.plan = Plan.of(self.experiment, version, evaluable(card), self.store)
        self.record.data(self.plan)
        check(self.plan, self.store)
        for line in train.advice(self.plan, self.store):
            self.board.say(f"  {line}", "yellow")

    def stage(self, spec: Spec, body: Callable[[Store, int], Mapping[str, Any]]) -> Done:
        """Return a stage's result, computed or cached; record and display its state."""
        started = time.monotonic()
        self.record.stage(spec, "running")
        self.board.begin(spec.title)
        if self.explain:
            reason = explain(
                self.store, spec, forced=spec.stage in self.force, smoke=self.record.manifest.smoke
            )
            self.board.say(f"  {spec.title}: {reason}", "dim")
        try:
            done = cache.run(
                self.store,
                spec,
                body,
                run_id=self.run_id,
                force=spec.stage in self.force,
                on_wait=lambda title: self.board.say(f"  {title}: waiting for another run that computes it"),
                smoke=self.record.manifest.smoke,
            )
        except BaseException as error:
            reason = "interrupted" if interrupted.is_set() else sentence(error)  # Ray tells of dead owners
            self.board.say(f"✗ {spec.title}: {reason}", "red")
            with self.board.tolerating("the record", "written"):  # `error` is the reason to end with
                self.record.stage(spec, "failed", error=public(reason), seconds=time.monotonic() - started)
            if spec.family:
                self.failed[spec.family] = public(reason)
            raise
        finally:
            self.board.end(spec.title)
        self.record.done(spec, done, started)
        taken = f"{done.seconds:.1f} s" if done.state == "ran" else "cached"
        self.board.say(f"✓ {spec.title}: {taken}", "" if done.state == "ran" else "dim")
        return done

    def do(self, stage: Stage, spec: Spec, inputs: Mapping[str, Done]) -> Done:
        """Return the result of a stage, computed or cached, and add it to `results` for later stages."""

        def body(attempt: Store, number: int) -> Mapping[str, Any]:
            progress = functools.partial(self.show_progress, spec)
            store = self.store.fenced(attempt.fence)
            context = Context(store, self.plan, spec, attempt, number, inputs, self.run_id, progress)
            with self.watching(spec, attempt) if stage.shows_progress else self.watching_jobs(stage, spec):
                return stage.run(context).to_json()

        done = self.stage(spec, body)
        if stage.settle:
            self.plan = stage.settle(self.store, self.plan, done)
            if self.spec(stage, spec.family).key != done.key:  # another run has pinned another extractor
                return self.do(stage, self.spec(stage, spec.family), inputs)
        self.results[spec.name] = done
        return done

    def spec(self, stage: Stage, family: str | None) -> Spec:
        """Return the spec of a stage under the current plan."""
        if stage.scope == "data":
            return stage.spec(self.plan)
        if stage.scope == "run":
            keys = {name: done.key for name, done in self.results.items()}
            return stage.spec(self.plan, keys, self.failed)
        return stage.spec(self.plan, family)

    def show_progress(self, spec: Spec, finished: int, total: int, text: str, **record: Any) -> None:
        """Show the progress of a stage on the display, in the record and, from time to time, on the page."""
        self.board.move(spec.title, finished, total, text)
        if record:
            with self.board.tolerating("the record", "written"):
                self.record.stage(spec, "running", **record)
            if time.monotonic() - self.page_built > PAGE:
                self.page_built = time.monotonic()
                self.show()

    def refuse(self, family: str, reason: str) -> None:
        """Record that a family cannot be trained, and why."""
        spec = train.spec(self.plan, family)
        self.record.stage(spec, "failed", error=public(reason))
        self.board.say(f"✗ {spec.title}: {reason}", "red")
        self.failed[family] = reason

    def has_jobs(self) -> bool:
        """Return whether any stage must be computed on Ray."""
        return any(stage.on_cluster for stage, _ in self.to_compute())

    def to_compute(self) -> list[tuple[Stage, Spec]]:
        """Return the stages that must be computed."""
        return to_compute(self.plan, self.store, self.force)

    def say_forecast(self) -> None:
        """Display how long the stages that must be computed are expected to take."""
        with self.board.tolerating("the forecast", "made"):
            estimates = Estimates(self.plan, self.store)
            specs = [spec for _, spec in self.to_compute()]
            rows = [(spec.title, estimates.seconds(spec)) for spec in specs]
            if all(seconds is None for _, seconds in rows):
                return  # a first run knows nothing; `--plan` says so
            side_by_side = resources.concurrent_trainings(self.experiment)
            expected = forecast(rows, side_by_side, estimates.overhead, smoke=self.experiment.smoke)
            for sentence in expected.sentences + disk(estimates.bytes(specs), partial=bool(expected.unknown)):
                self.board.say(f"  {sentence}", "dim")

    def show(self) -> None:
        """Update the run's page and the index."""
        with self.board.tolerating("the page"):
            self.build_page()

    def build_page(self) -> None:
        """Build the run's page and the index."""
        self.record.update(report=report.build_run(self.store, self.run_id))
        report.build_index(self.store, changed=self.run_id)

    @contextlib.contextmanager
    def watching(self, spec: Spec, attempt: Store) -> Iterator[None]:
        """Show the progress and the diagnoses that a training writes into its attempt's folder."""
        over, seen = threading.Event(), TrainingDisplay(initial=attempt.exists(INITIAL))
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=lambda: context.run(self._watch, spec, attempt, over, seen), daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5)

    @contextlib.contextmanager
    def watching_jobs(self, stage: Stage, spec: Spec) -> Iterator[None]:
        """Show how many jobs of a stage are done, if it takes long; a sweep shows its trials itself."""
        began = time.monotonic()

        def watch(done: int, total: int, activity: str) -> None:
            if time.monotonic() - began > QUIET and total:
                self.board.move(spec.title, done, total, "")

        with contextlib.nullcontext() if stage.scope == "sweep" else watched_by(watch):
            yield

    def _watch(self, spec: Spec, attempt: Store, over: threading.Event, seen: TrainingDisplay) -> None:
        while not over.wait(POLL):
            with contextlib.suppress(Exception):  # an outage; the next look retries
                self._look(spec, attempt, seen)
        with contextlib.suppress(Exception):
            self._report_initial(spec, attempt, seen)
            self._report_diagnoses(spec, attempt, seen.diagnoses)  # the last may have ended the training
            self._report_damaged(spec, attempt, seen.damaged)
            if seen.rates:
                self.record.stage(spec, "running", **seen.rates)
            last = progress_of(attempt)
            if last and seen.artifact is not None:  # a short training has ended since the bar was made
                update_progress_artifact(seen.artifact, 100.0 * last.step / last.steps)

    def _look(self, spec: Spec, attempt: Store, seen: TrainingDisplay) -> None:
        """Display what a training has written since the last look."""
        if not seen.begun:  # what an earlier run has displayed
            seen.diagnoses.update(diagnoses(attempt))
            seen.begun = True
            if seen.diagnoses:
                self.record.stage(spec, "running", events=len(seen.diagnoses))
        self._report_initial(spec, attempt, seen)
        self._report_diagnoses(spec, attempt, seen.diagnoses)
        if (progress := progress_of(attempt)) is None:
            return
        step, steps = progress.step, progress.steps
        self.live_page.refresh()  # there are samples from now on
        seen.rates = self._rates(spec, progress, seen)
        speed = seen.rates.get("images_per_second") or 0.0
        values = "  ".join(f"{k.split('/')[-1]} {v:.3g}" for k, v in list(progress.values.items())[:2])
        self.board.move(spec.title, step, steps, f"{speed:,.0f} images/s  {values}")
        if not seen.announced and (rest := remaining(progress, seen)):
            seen.announced = True
            self.board.say(f"  {spec.title}: about {rest} more")
        if not seen.starved and (sentence := starving(seen.rates)):
            seen.starved = True
            self.board.say(f"  {spec.title}: {sentence}", "yellow")
        if time.monotonic() - seen.updated > ARTIFACT:
            seen.updated = time.monotonic()
            self._report_damaged(spec, attempt, seen.damaged)
            with contextlib.suppress(Exception):  # training does not depend on the display
                percent = 100.0 * step / steps
                if seen.artifact is None:
                    key = f"train-{spec.family}".replace("_", "-")
                    seen.artifact = create_progress_artifact(percent, key=key)
                else:
                    update_progress_artifact(seen.artifact, percent)

    def _rates(self, spec: Spec, progress: TrainingProgress, seen: TrainingDisplay) -> dict[str, float]:
        """Return the speed of a training since its first look, and what its GPU did at the last."""
        at, waited = progress.time, progress.waited
        first_step, first_at, first_waited = seen.first = seen.first or (progress.step, at, waited)
        if at <= first_at or not spec.family:
            return {}
        images = (progress.step - first_step) * self.experiment.training(spec.family).batch
        rates = {
            "images_per_second": images / (at - first_at),
            "data_share": (waited - first_waited) / (at - first_at),
        }
        gpu = progress.gpu.to_json() if progress.gpu else {}
        return rates | {f"gpu_{name}": value for name, value in gpu.items() if value is not None}

    def _report_initial(self, spec: Spec, attempt: Store, seen: TrainingDisplay) -> None:
        """Display, once, what a training took of the model that it began with."""
        if seen.initial or not attempt.exists(INITIAL):
            return
        if initial := WarmStart.read(attempt.read_json(INITIAL)):
            self.board.say(f"  {spec.title}: {initial.sentence}")
        seen.initial = True

    def _report_damaged(self, spec: Spec, attempt: Store, reported: set[str]) -> None:
        """Display the checkpoints that were found damaged, each once."""
        for name in attempt.list("checkpoints"):
            if name.endswith(DAMAGED) and name not in reported:
                reported.add(name)
                self.board.say(
                    f"  {spec.title}: checkpoints/{name.removesuffix(DAMAGED)} is damaged and was renamed to "
                    f"{name}; training continues from the checkpoint before it, if there is one",
                    "yellow",
                )

    def _report_diagnoses(self, spec: Spec, attempt: Store, reported: set[str]) -> None:
        """Display and count the diagnoses that were not reported before."""
        for name in diagnoses(attempt):
            if name in reported:
                continue
            event = HealthEvent.read(unless_torn(functools.partial(attempt.read_json, f"health/{name}")))
            if event is None:
                continue  # not yet written completely
            reported.add(name)
            self.board.say(diagnosis(spec.title, event), "yellow")
            self.record.stage(spec, "running", events=len(reported))


def progress_of(attempt: Store) -> TrainingProgress | None:
    """Return how far a training is; None if it has not said so yet."""
    return TrainingProgress.read(unless_torn(lambda: attempt.read_json("progress.json")))


def remaining(progress: TrainingProgress, seen: TrainingDisplay) -> str:
    """Return how long the rest of a training takes at its rate since the first look; empty: not known yet."""
    if seen.first is None or progress.time - seen.first[1] < STEADY or progress.step <= seen.first[0]:
        return ""
    step_seconds = (progress.time - seen.first[1]) / (progress.step - seen.first[0])
    return duration(step_seconds * (progress.steps - progress.step))


def starving(rates: Mapping[str, float]) -> str | None:
    """Return a warning if a GPU waits for images rather than computes; None without a GPU."""
    share, busy = rates.get("data_share", 0.0), rates.get("gpu_utilisation")
    if busy is None or share < STARVED or busy > BUSY:
        return None
    return (
        f"the GPU works {busy:.0f} % of the time, and {100 * share:.0f} % of a step is waiting for images: "
        "give the training more CPU cores (train.torch_threads), or put ATELIER_CACHE on a faster disk"
    )


def diagnoses(attempt: Store) -> list[str]:
    """Return the names of the files with a training's diagnoses in its attempt's folder."""
    return [name for name in attempt.list("health") if EVENT.fullmatch(name)]


def diagnosis(title: str, event: HealthEvent) -> str:
    """Return a diagnosis as one line: the stage, the step, the evidence and the action."""
    evidence = ", ".join(f"{name} {_number(value)}" for name, value in event.evidence.items())
    treatment, action = event.treatment, event.action
    if treatment:
        action = f"treated with {treatment.remedy}, back to step {treatment.back_to}"
    reasons = f" ({evidence})" if evidence else ""
    return f"  {title}: step {event.step}: {event.title.lower()}{reasons}: {action}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def explain(store: Store, spec: Spec, *, forced: bool = False, smoke: bool = False) -> str:
    """Return why a stage runs or is cached.

    A stage that runs is compared with the newest result of the same stage and family, of a smoke run if it is
    one.
    """
    if forced:
        return "runs: forced"
    if cache.finished(store, spec):
        return "cached: nothing it depends on has changed"
    if store.exists(f"{spec.uri}/spec.json"):
        return "runs: an earlier attempt did not finish"
    old = cache.latest(store, spec, smoke=smoke)
    if old is None:
        return "runs: there is no earlier result"
    if old.get("schema") != SCHEMA:
        return f"runs: this version of Atelier has other keys (schema {old.get('schema')} -> {SCHEMA})"
    changes = difference(old, spec.canonical())
    return f"runs: changed {'; '.join(changes)}{of_sampling(spec, changes)}"


def of_sampling(spec: Spec, changes: Sequence[str]) -> str:
    """Return why a training runs although only settings of sampling changed; empty if others did."""
    if spec.stage != "train" or spec.family is None:
        return ""
    searchable = hyperparameters(spec.family)
    names = {change.partition(":")[0].removeprefix("settings.") for change in changes}
    if not all(name in searchable and searchable[name].sampling for name in names):
        return ""
    return ", by which it draws its snapshots; `atelier sample` and sweeps try it on the trained model"
