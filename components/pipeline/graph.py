"""All stages of a run, in order. To add one, write its module and add it here (docs/add-a-stage.md)."""

from __future__ import annotations

from collections.abc import Mapping

from components.pipeline import (
    ablation,
    anomaly_models,
    captions,
    compare,
    confirmation,
    evaluate,
    export,
    extractor,
    gate,
    latent_analysis,
    latents,
    prepare,
    publish,
    reference,
    report,
    style_analysis,
    sweep,
    train,
)
from components.pipeline.plan import Plan
from components.pipeline.stage import Scope, Stage
from components.stages.spec import Spec

STAGES = (
    prepare.STAGE,
    extractor.STAGE,
    reference.STAGE,
    captions.STAGE,
    latents.STAGE,
    train.STAGE,
    evaluate.STAGE,
    export.STAGE,
    anomaly_models.STAGE,
    ablation.STAGE,
    latent_analysis.STAGE,
    style_analysis.STAGE,
    sweep.STAGE,
    confirmation.STAGE,
    compare.STAGE,
    gate.STAGE,
    report.STAGE,
    publish.STAGE,
)


def of_scope(scope: Scope) -> list[Stage]:
    """Return the stages of a scope."""
    return [stage for stage in STAGES if stage.scope == scope]


def planned(
    plan: Plan, searched: Mapping[str, tuple[Stage, Spec]] | None = None
) -> dict[str, tuple[Stage, Spec]]:
    """Return all stages of a run, by the name of their results, if nothing fails.

    `searched` are those of a sweep, under the plan before it; `plan` then has the settings of the winner.
    """
    stages = {stage.name: (stage, stage.spec(plan)) for stage in of_scope("data") if stage.applies(plan)}
    stages |= searched or {}
    for family in plan.experiment.families:
        for stage in family_stages(plan, family):
            stages[f"{stage.name}/{family}"] = stage, stage.spec(plan, family)
    for stage in of_scope("run"):
        keys: Mapping[str, str] = {name: spec.key for name, (_, spec) in stages.items()}
        stages[stage.name] = stage, stage.spec(plan, keys, {})
    return stages


def family_stages(plan: Plan, family: str) -> list[Stage]:
    """Return the stages of a family."""
    return [stage for stage in of_scope("family") if family in stage.families(plan)]


def inputs(plan: Plan, stage: Stage, spec: Spec) -> list[str]:
    """Return the names of the results a family's stage waits for: its upstream, and its `after` stages."""
    assert spec.family is not None
    earlier = [other.name for other in family_stages(plan, spec.family) if other.name in stage.after]
    return [*spec.upstream, *(f"{name}/{spec.family}" for name in earlier)]
