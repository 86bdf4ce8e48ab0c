"""A stage of a run: the spec that gives its key, and the function that computes its result.

Each stage is a module of this package that ends with `STAGE = Stage(...)`; graph.py lists them in order.
Results have names: `prepare` for a stage that runs once, `train/vae` for one that runs for each family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from components.evaluation.requests import EvaluationPaths
from components.pipeline.plan import Plan
from components.records.base import StageResult
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store

Result = TypeVar("Result", bound=StageResult)

Scope = Literal["data", "family", "sweep", "run"]
"""How often a stage runs: once for the data, for each family, for the family that is searched, or once at the
end of a run with the families that succeeded."""


class Progress(Protocol):
    """Callback that shows the progress of a stage."""

    def __call__(self, finished: int, total: int, text: str, **record: Any) -> None:
        """Show `finished` of `total` units of work; `record` goes into the stage's entry of run.json."""


def silent(finished: int, total: int, text: str, **record: Any) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Context:
    """The inputs of a stage's `run`.

    `results` holds the finished stages by name, at least those that the spec names as upstream.
    """

    store: Store
    plan: Plan
    spec: Spec
    attempt: Store  # the folder to write to
    number: int  # of the attempt
    results: Mapping[str, Done]
    run_id: str
    progress: Progress = silent

    @property
    def family(self) -> str:
        """The family that the stage runs for."""
        assert self.spec.family is not None, f"{self.spec.stage} does not run for a family"
        return self.spec.family

    @property
    def folder(self) -> str:
        """The attempt's folder, relative to the store's root."""
        return self.attempt.root.removeprefix(self.store.root).strip("/")

    @property
    def gpus(self) -> int:
        """GPUs that a job of this stage needs."""
        return 1 if self.plan.device == "cuda" else 0

    def uri(self, name: str) -> str:
        """Return the folder of a finished stage, relative to the store's root."""
        return self.results[name].uri

    def read(self, name: str, record: type[Result]) -> Result:
        """Return the result of a finished stage, from its result.json."""
        return record.model_validate(cache.read(self.store, self.results[name]))

    def places(self, parts: str, threads: int) -> EvaluationPaths:
        """Return the folders of data, extractor, reference and encoded captions for evaluation jobs."""
        optional = {
            name: self.uri(name) if name in self.results else "" for name in ("reference", "captions")
        }
        data, extractor = f"{self.uri('prepare')}/data", f"{self.uri('extractor')}/extractor"
        expected = self.plan.expected_extractor
        return EvaluationPaths(
            self.store, data, extractor, parts, threads=threads, expected=expected, **optional
        )


def all_families(plan: Plan) -> Sequence[str]:
    """Return the families of a plan."""
    return list(plan.experiment.families)


def always(plan: Plan) -> bool:
    """Return True: every plan has the stage."""
    return True


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        name: name for `--force` and `--explain`.
        scope: how often the stage runs.
        spec: returns what the result depends on. For scope "data" a function of the plan; for "family" of the
            plan and a family; for "run" of the plan, the keys of all results by name, and the reasons of
            failed families.
        run: computes the result in `context.attempt`; returns the stage's part of result.json.
        families: returns the families that the stage runs for, for scope "family".
        applies: returns whether the plan has this stage at all, for the other scopes.
        on_cluster: whether the stage needs Ray.
        after: stages of the same family that run earlier although the result does not depend on them.
        optional: whether a family counts as finished if this stage failed.
        shows_progress: whether a training writes its progress into the attempt's folder.
        settle: returns the plan to continue with, for a stage whose result changes the plan.
    """

    name: str
    scope: Scope
    spec: Callable[..., Spec]
    run: Callable[[Context], StageResult]
    families: Callable[[Plan], Sequence[str]] = all_families
    applies: Callable[[Plan], bool] = always
    on_cluster: bool = True
    after: tuple[str, ...] = ()
    optional: bool = False
    shows_progress: bool = False
    settle: Callable[[Store, Plan, Done], Plan] | None = None

    @property
    def is_in_every_run(self) -> bool:
        """Whether every run has the stage, and for each family, whatever the data and the settings."""
        return self.applies is always and self.families is all_families

    def result(
        self,
        store: Store,
        plan: Plan,
        spec: Spec,
        results: Mapping[str, Done],
        run_id: str,
        on_wait: Callable[[str], None] = lambda title: None,
    ) -> Done:
        """Return the result from the store or compute it; call `on_wait` if another run computes it."""

        def body(attempt: Store, number: int) -> Mapping[str, Any]:
            fenced = store.fenced(attempt.fence)
            return self.run(Context(fenced, plan, spec, attempt, number, results, run_id)).to_json()

        return cache.run(store, spec, body, run_id=run_id, on_wait=on_wait)
