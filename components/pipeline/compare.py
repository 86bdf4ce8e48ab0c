"""Stage `compare`: one table of all families that were evaluated: complexity, stability, quality, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.common.errors import InputError
from components.evaluation.comparability import ranked
from components.evaluation.ranking import rank_by
from components.families.catalogue import described
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.stages.cache import Done, read
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store

EVALUATED = (  # what a family's result takes from its evaluation
    "samples_per_second",
    "metrics",
    "kept",
    "selected_by",
    "averages",
    "checkpoints",
    "neighbours",
    "curve",
    "stability",
)


def spec(plan: Plan, keys: Mapping[str, str], failed: Mapping[str, str]) -> Spec:
    """The evaluations that there are."""
    evaluations = {
        f"evaluate/{f}": keys[f"evaluate/{f}"] for f in plan.experiment.families if f"evaluate/{f}" in keys
    }
    return plan.spec("compare", {}, code("components.pipeline.compare"), evaluations)


def run(context: Context) -> dict[str, Any]:
    """The result of each family, and the table."""
    families = [name.removeprefix("evaluate/") for name in context.spec.upstream]
    results = [
        family_result(context.store, context.results[f"train/{f}"], context.results[f"evaluate/{f}"])
        for f in families
    ]
    return {"results": results, "table": table(results)}


def family_result(store: Store, trained: Done, evaluated: Done) -> dict[str, Any]:
    """What is known of a family, for the table, the page and the command line."""
    assert trained.family is not None
    training, evaluation = read(store, trained)["trained"], read(store, evaluated)["evaluated"]
    return {
        "family": trained.family,
        **described(trained.family),
        "parameters": training["parameters"],
        "train_seconds": training["seconds"],
        "images_seen": training["images"],
        **{name: evaluation[name] for name in EVALUATED},
        "samples": f"{trained.uri}/{training['samples']['kept']}",
        "model": f"{trained.uri}/model",
        "train": {name: training[name] for name in ("steps", "stopped_early", "terms")},
    }


def table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each family."""
    rows, ranks = [], rank(results)
    for r in results:
        best = rank_by(r["metrics"])
        rows.append(
            {
                "family": r["family"],
                "task": r["task"],
                "complexity": {"parameters": r["parameters"]},
                "stability": {name: r["stability"][name] for name in ("backslide", "kept")},
                "quality": {best: r["metrics"][best]["value"], "floor": r["metrics"][best]["floor"]},
                "speed": {"samples_per_second": r["samples_per_second"], "train_seconds": r["train_seconds"]},
                "rank": ranks[r["family"]],
            }
        )
    return rows


def rank(results: Sequence[Mapping[str, Any]]) -> dict[str, int | str]:
    """Each family's rank among those of its task, from 1; or why there is none."""
    ranks: dict[str, int | str] = {}
    for task in dict.fromkeys(r["task"] for r in results):
        rivals = {r["family"]: r["metrics"] for r in results if r["task"] == task}
        try:
            order = ranked({family: metrics[rank_by(metrics)] for family, metrics in rivals.items()})
            ranks |= {family: order.index(family) + 1 for family in rivals}
        except InputError as refusal:
            ranks |= dict.fromkeys(rivals, str(refusal))
    return ranks


STAGE = Stage("compare", "run", spec, run, on_cluster=False)
