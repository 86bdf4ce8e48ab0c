"""Estimate the cost of a family's evaluation in proportion to its training, from settings alone.

Both are counted in evaluations of the network for an image, so that it is known before anything has run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from components.pipeline import ablation
from components.pipeline.plan import Plan

WEIGHTS = {"best": 2, "last": 1}  # sets that are evaluated, at most, by which weights are selected
NOTABLE = 0.05  # of the training's work, from which on a share is said


def of_run(plan: Plan, stages: Collection[str]) -> list[str]:
    """Return what to say of the families whose stages, by title, would be trained or evaluated.

    Nothing of a smoke run, which trains for a few steps whatever the settings are.
    """
    if plan.experiment.smoke:
        return []
    judged = [family for family in plan.experiment.families if f"evaluate {family}" in stages]
    return sentences({family: share for family, share in shares(plan).items() if family in judged})


def shares(plan: Plan) -> dict[str, float]:
    """Return the work of evaluation and ablations over that of the training, at most, by family."""
    return {
        family: _evaluation(plan, family) / _training(plan, family) for family in plan.experiment.families
    }


def _training(plan: Plan, family: str) -> float:
    training = plan.experiment.training(family)
    return ablation.FORWARD_AND_BACKWARD * training.steps * training.batch


def _evaluation(plan: Plan, family: str) -> float:
    settings, select = plan.family_settings(family), plan.experiment.training(family).select
    images = WEIGHTS[select] * min(plan.experiment.evaluate.samples, plan.card.counts["test"])
    variants = [change for each in ablation.ablations(plan, family) for change in each.variants.values()]
    varied = sum(ablation.evaluations({**settings, **change}) for change in variants)
    studied = ablation.samples(plan, family) * varied if variants else 0
    return images * ablation.evaluations(settings) + studied


def sentences(by_family: Mapping[str, float]) -> list[str]:
    """Return what to say of the shares: those that are notable, and advice if any is above 1."""
    notable = {family: share for family, share in by_family.items() if share >= NOTABLE}
    if not notable:
        return []
    listed = ", ".join(f"{share:.0%} ({family})" for family, share in notable.items())
    sentences = [f"evaluation and ablations call the network at most {listed} as often as training does"]
    if large := [family for family, share in notable.items() if share > 1]:
        sentences.append(
            f"the evaluation of {', '.join(large)} takes longer than the training: lower evaluate.samples "
            "and evaluate.ablation_samples, or train longer"
        )
    return sentences
