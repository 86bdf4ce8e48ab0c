"""Stage `compare`: a table of all evaluated families: complexity, stability, quality, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.common.errors import InputError
from components.common.ranking import rank_by
from components.evaluation.comparability import ranked
from components.families.catalogue import description_of
from components.pipeline import evaluate, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.evaluation import Stability
from components.records.run import Comparison, FamilyResult, TableRow, TrainingSummary
from components.stages.cache import Done
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store


def spec(plan: Plan, keys: Mapping[str, str], failed: Mapping[str, str]) -> Spec:
    """Return the spec: the evaluations of the families that have one."""
    evaluations = {
        f"evaluate/{f}": keys[f"evaluate/{f}"] for f in plan.experiment.families if f"evaluate/{f}" in keys
    }
    return plan.spec("compare", {}, code("components.pipeline.compare"), evaluations)


def run(context: Context) -> Comparison:
    """Collect the result of each family, and make the table."""
    families = [name.removeprefix("evaluate/") for name in context.spec.upstream]
    results = [
        family_result(context.store, context.results[f"train/{f}"], context.results[f"evaluate/{f}"])
        for f in families
    ]
    return Comparison(results=results, table=table(results))


def family_result(store: Store, trained: Done, evaluated: Done) -> FamilyResult:
    """Return the result of a family for the table, the page and the command line."""
    assert trained.family is not None
    training, evaluation = train.result(store, trained), evaluate.result(store, evaluated)
    description = description_of(trained.family)
    summary = TrainingSummary(
        steps=training.steps,
        stopped_early=training.stopped_early,
        initial=training.initial,
        terms=training.terms,
    )
    return FamilyResult(
        **vars(evaluation),
        family=trained.family,
        task=description["task"],
        paper=description["paper"],
        parameters=training.parameters,
        train_seconds=training.seconds,
        images_seen=training.images,
        samples=f"{trained.uri}/{training.samples.kept}",
        model=f"{trained.uri}/model",
        train=summary,
    )


def table(results: Sequence[FamilyResult]) -> list[TableRow]:
    """Return a row for each family."""
    ranks = rank(results)
    return [row(result, ranks[result.family]) for result in results]


def row(result: FamilyResult, rank: int | str) -> TableRow:
    """Return the row of a family."""
    best, stability = rank_by(result.metrics), result.stability or Stability()
    return TableRow(
        family=result.family,
        task=result.task,
        complexity={"parameters": result.parameters or 0},
        stability={"regression_ratio": stability.regression_ratio, "kept": stability.kept},
        quality={best: result.metrics[best].value, "real_baseline": result.metrics[best].real_baseline},
        speed={"samples_per_second": result.samples_per_second, "train_seconds": result.train_seconds},
        rank=rank,
    )


def rank(results: Sequence[FamilyResult]) -> dict[str, int | str]:
    """Return each family's rank among those of its task, from 1, or the reason why it has none."""
    ranks: dict[str, int | str] = {}
    for task in dict.fromkeys(result.task for result in results):
        metrics = {r.family: r.metrics[rank_by(r.metrics)] for r in results if r.task == task}
        if note := next((metric.note for metric in metrics.values() if metric.note), None):
            ranks |= dict.fromkeys(metrics, note)
            continue
        try:
            ranks |= {family: place for place, family in enumerate(ranked(metrics), 1)}
        except InputError as error:
            ranks |= dict.fromkeys(metrics, str(error))
    return ranks


STAGE = Stage("compare", "run", spec, run, on_cluster=False)
