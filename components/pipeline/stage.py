"""What a stage of a run is: the spec its key is made from, and the body that computes its result.

Each stage is a module of this package that ends with `STAGE = Stage(...)`; graph.py lists them in order.
Results have names: `prepare` for a stage that is done once, `train/vae` for one that is done for each family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
"""How often a stage is done: once for the data, for each family, for the family that is searched, or once at
the end of a run with whatever families succeeded."""


class Progress(Protocol):
    """Shows how far a body is."""

    def __call__(self, finished: int, total: int, text: str, **record: Any) -> None:
        """`finished` of `total` units of work; `record` goes into the stage's entry of run.json."""


def silent(finished: int, total: int, text: str, **record: Any) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Context:
    """What the body of a stage works with.

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
        """The family that the stage is done for."""
        assert self.spec.family is not None, f"{self.spec.stage} is not done for a family"
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
        """The folder of a finished stage, relative to the store's root."""
        return self.results[name].uri

    def read(self, name: str, record: type[Result]) -> Result:
        """The result of a finished stage, from its result.json."""
        return record.model_validate(cache.read(self.store, self.results[name]))

    def places(self, parts: str, threads: int) -> EvaluationPaths:
        """Where evaluation jobs find the data, the extractor, the reference and the encoded captions."""
        optional = {
            name: self.uri(name) if name in self.results else "" for name in ("reference", "captions")
        }
        data, extractor = f"{self.uri('prepare')}/data", f"{self.uri('extractor')}/extractor"
        return EvaluationPaths(self.store.url, data, extractor, parts, threads=threads, **optional)


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        name: as `--force` and `--explain` have it.
        scope: how often it is done.
        spec: what the result depends on. For scope "data" a function of the plan; for "family" of the plan
            and a family; for "run" of the plan, the keys of all results by name, and why families failed.
        run: computes the result in `context.attempt`; returns the stage's part of result.json.
        families: the families it is done for, for scope "family".
        applies: whether the plan has this stage at all, for the other scopes.
        on_cluster: whether it computes, for which Ray is needed.
        after: stages of the same family that come before it though its result does not depend on them.
        optional: whether a family counts as finished where this stage failed.
        shows_progress: whether a training writes its progress into the attempt's folder.
        settle: for a stage whose result changes the plan: the plan to continue with.
    """

    name: str
    scope: Scope
    spec: Callable[..., Spec]
    run: Callable[[Context], StageResult]
    families: Callable[[Plan], Sequence[str]] = field(default=lambda plan: list(plan.experiment.families))
    applies: Callable[[Plan], bool] = field(default=lambda plan: True)
    on_cluster: bool = True
    after: tuple[str, ...] = ()
    optional: bool = False
    shows_progress: bool = False
    settle: Callable[[Store, Plan, Done], Plan] | None = None

    def result(
        self,
        store: Store,
        plan: Plan,
        spec: Spec,
        results: Mapping[str, Done],
        run_id: str,
        on_wait: Callable[[str], None] = lambda title: None,
    ) -> Done:
        """The stage's result, found in the store or computed now; `on_wait` if another run is at work."""

        def body(attempt: Store, number: int) -> Mapping[str, Any]:
            return self.run(Context(store, plan, spec, attempt, number, results, run_id)).to_json()

        return cache.run(store, spec, body, run_id=run_id, on_wait=on_wait)
