"""One run in this process: its plan, its record, its board, and how a stage is done in it."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from components import report
from components.common.errors import InputError, RunError
from components.config.experiment import Experiment
from components.pipeline.plan import Plan
from components.records.names import EVENT
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec, difference
from components.store import Store
from flows.record import Record
from flows.terminal import Board

POLL = 1.0  # seconds between looks at a training's progress
ARTIFACT = 5.0  # seconds between updates of Prefect's progress artifact

RUNS: dict[str, Run] = {}
"""The runs of this process by id: tasks are given the id, small and JSON, and find the rest here."""


class Run:
    """What the tasks of one flow run share."""

    plan: Plan  # there as soon as the version of the data is known

    def __init__(
        self,
        run_id: str,
        experiment: Experiment,
        store: Store,
        record: Record,
        board: Board,
        *,
        force: Collection[str] = (),
        explain: bool = False,
    ):
        self.run_id, self.experiment, self.store = run_id, experiment, store
        self.record, self.board = record, board
        self.force, self.explain = force, explain
        self.failed: dict[str, str] = {}  # family -> why
        RUNS[run_id] = self

    def stage(self, spec: Spec, body: Callable[[Store, int], dict[str, Any]]) -> Done:
        """The stage's result, made here or found; its state goes into the record and on the board."""
        started = time.time()
        self.record.stage(spec, "running")
        self.board.begin(spec.title)
        if self.explain:
            self.board.say(f"  {spec.title}: {why(self.store, spec, forced=spec.stage in self.force)}", "dim")
        try:
            done = cache.run(
                self.store,
                spec,
                body,
                run_id=self.run_id,
                force=spec.stage in self.force,
                on_wait=lambda title: self.board.say(f"  {title}: another run is at work on it, waiting"),
            )
        except BaseException as error:
            sentence = _sentence(error)
            self.record.stage(spec, "failed", error=sentence, seconds=time.time() - started)
            self.board.say(f"✗ {spec.title}: {sentence}", "red")
            if spec.family:
                self.failed[spec.family] = sentence
            raise
        finally:
            self.board.end(spec.title)
        self.record.done(spec, done, started)
        how = f"{done.seconds:.1f} s" if done.state == "ran" else "cached"
        self.board.say(f"✓ {spec.title}: {how}", "" if done.state == "ran" else "dim")
        return done

    def refuse(self, family: str, sentence: str) -> None:
        """A family cannot be trained."""
        spec = self.plan.train(family)
        self.record.stage(spec, "failed", error=sentence)
        self.board.say(f"✗ {spec.title}: {sentence}", "red")
        self.failed[family] = sentence

    def has_jobs(self) -> bool:
        """Whether anything is to be computed, for which Ray is needed."""
        plan = self.plan
        specs = [
            plan.extractor,
            plan.reference,
            *([plan.captions] if plan.captions else []),
            *(s(f) for f in self.experiment.families for s in (plan.train, plan.evaluate)),
            *(plan.latents(f) for f in self.experiment.families if plan.keeps_latents(f)),
            *(plan.study(family) for family in plan.studied),
            *(plan.uses(family) for family in plan.used),
            *(plan.detectors(family) for family in plan.detects),
        ]
        return any(spec.stage in self.force or not cache.claimed(self.store, spec) for spec in specs)

    def show(self) -> None:
        """Bring the run's page up to date while it goes on."""
        self.record.update(report=report.build_run(self.store, self.run_id))
        report.build_index(self.store)

    @contextlib.contextmanager
    def watching(self, spec: Spec, attempt: Store) -> Iterator[None]:
        """Show the progress and the diagnoses that a training leaves in its attempt's folder."""
        over = threading.Event()
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(self._watch, spec, attempt, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5)

    def _watch(self, spec: Spec, attempt: Store, over: threading.Event) -> None:
        first, artifact, told = None, None, 0.0
        heard = set(diagnoses(attempt))  # before an interruption
        if heard:
            self.record.stage(spec, "running", events=len(heard))
        while not over.wait(POLL):
            self._listen(spec, attempt, heard)
            try:
                note = attempt.read_json("progress.json")
            except (FileNotFoundError, ValueError):
                continue
            step, steps, at = note["step"], note["steps"], note["time"]
            first = first or (step, at)
            rate = (step - first[0]) / max(at - first[1], 1e-6)
            values = "  ".join(f"{k.split('/')[-1]} {v:.3g}" for k, v in list(note["values"].items())[:2])
            self.board.move(spec.title, step, steps, f"{rate:5.1f} steps/s  {values}")
            if time.time() - told > ARTIFACT:
                told = time.time()
                with contextlib.suppress(Exception):  # a display; training does not depend on it
                    percent = 100.0 * step / steps
                    if artifact is None:
                        artifact = create_progress_artifact(
                            percent, key=f"train-{spec.family}".replace("_", "-")
                        )
                    else:
                        update_progress_artifact(artifact, percent)
        self._listen(spec, attempt, heard)  # the last one may have ended the training

    def _listen(self, spec: Spec, attempt: Store, heard: set[str]) -> None:
        """Say the diagnoses that were not heard before."""
        for name in diagnoses(attempt):
            if name in heard:
                continue
            try:
                said = diagnosis(spec.title, attempt.read_json(f"health/{name}"))
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                continue  # not yet whole
            heard.add(name)
            self.board.say(said, "yellow")
            self.record.stage(spec, "running", events=len(heard))


def diagnoses(attempt: Store) -> list[str]:
    """The files of a training's diagnoses in its attempt's folder."""
    return [name for name in attempt.list("health") if EVENT.fullmatch(name)]


def diagnosis(title: str, event: Mapping[str, Any]) -> str:
    """A diagnosis in a line: at which step of what, from which evidence, and what was done."""
    evidence = ", ".join(f"{name} {_number(value)}" for name, value in event["evidence"].items())
    treatment, did = event["treatment"], event["action"]
    if treatment:
        did = f"treated with {treatment['remedy']}, back to step {treatment['back_to']}"
    why = f" ({evidence})" if evidence else ""
    return f"  {title}: step {event['step']}: {event['title'].lower()}{why}: {did}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def why(store: Store, spec: Spec, forced: bool = False) -> str:
    """Why a stage will run or not.

    What of its key differs from the newest result of the same stage and family.
    """
    if forced:
        return "runs: forced"
    if cache.finished(store, spec):
        return "cached: nothing it depends on has changed"
    if store.exists(f"{spec.uri}/spec.json"):
        return "runs: begun before, not finished"
    old = cache.latest(store, spec)
    if old is None:
        return "runs: never done before"
    return "runs: changed " + "; ".join(difference(old, spec.canonical()))


def _sentence(error: BaseException) -> str:
    if isinstance(error, InputError | RunError):
        return str(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]
