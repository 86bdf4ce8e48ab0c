"""Stage `confirmation`: compare the winner of a sweep with the default settings on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from components.cluster import resources
from components.common.errors import Diverged, RunError
from components.common.public import public
from components.common.ranking import rank_by
from components.families.catalogue import module_of
from components.families.resolve import resolved, with_upstream
from components.pipeline import evaluate, reference, train
from components.pipeline.ablation import evaluate_variants
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.pipeline.sweep import samples_only
from components.records.ablation import VariantResult
from components.records.evaluation import Metrics
from components.records.stages import ConfirmationResult
from components.records.sweep import Confirmation, SecondsPerImage, SideFailure, Winner
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.tuning.confirmation import SIDES, Pair, compare_pairs
from components.tuning.space import full_schedule

FRESH = 1000  # offset of the first fresh seed from the training seed of the experiment

Contender = tuple[str, int]
"""A side of SIDES and a seed."""


def confirmation_seeds(plan: Plan) -> list[int]:
    """Return seeds that no training of the sweep used."""
    sweep = plan.experiment.sweep
    assert sweep is not None
    first = plan.experiment.training(plan.experiment.swept).seed + FRESH
    return [first + i for i in range(max(1, sweep.confirmation_seeds))]


def contender(plan: Plan, family: str, winner: Winner | None, seed: int) -> Plan:
    """Return the plan with another seed, all training steps and the winner's settings (None: its own)."""
    block: Mapping[str, Any] = plan.experiment.families[family]
    sweep = plan.experiment.sweep
    assert sweep is not None
    if winner is not None:
        block = full_schedule(block, winner, sweep.steps or block["train"]["steps"])
    block = {**block, "train": block["train"] | {"seed": seed}}
    changed = plan.experiment.model_copy(update={"families": plan.experiment.families | {family: block}})
    return replace(plan, experiment=resolved(changed, plan.device, block["train"]["precision"]))


def contenders(plan: Plan, family: str, winner: Winner) -> dict[Contender, Plan]:
    """Return the plans of both sides with each fresh seed."""
    return {
        (side, seed): contender(plan, family, winner if side == "winner" else None, seed)
        for seed in confirmation_seeds(plan)
        for side in SIDES
    }


def spec(plan: Plan, family: str, sweep: str, winner: Winner) -> Spec:
    """Return the spec: the sweep and both sides' evaluations; for sampling settings, values and model."""
    upstream = {f"sweep/{family}": sweep}
    if not samples_only(plan):
        plans = contenders(plan, family, winner)
        entries = {f"{side} {seed}": evaluate.spec(p, family).key for (side, seed), p in plans.items()}
        settings: dict[str, Any] = {"winner": winner.to_json(), "entries": entries}
        return plan.spec("confirmation", settings, code("components.pipeline.confirmation"), upstream, family)
    evaluate_settings = plan.experiment.evaluate
    settings = {"winner": winner.to_json(), "seeds": confirmation_seeds(plan)}
    settings |= {"samples": evaluate_settings.samples, "threads": evaluate_settings.threads}
    upstream |= {f"train/{family}": train.spec(plan, family).key, "reference": reference.spec(plan).key}
    digests = code("components.pipeline.confirmation", "components.analysis.ablation", module_of(family))
    return plan.spec("confirmation", settings, digests, upstream, family)


def run(context: Context) -> ConfirmationResult:
    """Compare both sides on the test split with each fresh seed."""
    confirm = confirm_sampling if samples_only(context.plan) else confirm_training
    winner = Winner.model_validate(context.spec.settings["winner"])
    return ConfirmationResult(confirmation=confirm(context, winner))


def confirm_training(context: Context, winner: Winner) -> Confirmation:
    """Train both sides with all training steps, and compare their metrics.

    Raises:
        RunError: no seed completed training on both sides.
    """
    plans, finished = contenders(context.plan, context.family, winner), 0

    def result(plan: Plan) -> dict[str, Any] | str:
        nonlocal finished
        try:
            metrics: Metrics | str = trained_and_evaluated(context, plan)
        except Diverged as error:  # the other seeds can still be compared
            metrics = public(str(error))
        finished += 1
        context.progress(finished, len(plans), "trained and evaluated")
        return metrics

    swept = with_upstream(context.plan.experiment, [context.family])
    with ThreadPoolExecutor(resources.concurrent_trainings(swept, of=len(plans))) as pool:
        return compared(dict(zip(plans, pool.map(result, plans.values()), strict=True)))


def trained_and_evaluated(context: Context, plan: Plan) -> Metrics:
    """Return the swept family's metrics under another plan; its stages are cached like those of any run."""
    results, family = dict(context.results), context.family
    for stage in (train.STAGE, evaluate.STAGE):
        spec = stage.spec(plan, family)
        results[spec.name] = stage.result(context.store, plan, spec, results, context.run_id)
    return evaluate.result(context.store, results[f"evaluate/{family}"]).metrics


def compared(results: Mapping[Contender, Metrics | str]) -> Confirmation:
    """Return the differences of both sides' metrics by seed; a text result is the reason of a failure.

    Raises:
        RunError: no seed completed training on both sides.
    """
    failed = [
        SideFailure(side=side, seed=seed, reason=reason)
        for (side, seed), reason in results.items()
        if isinstance(reason, str)
    ]
    metrics = {key: value for key, value in results.items() if not isinstance(value, str)}
    seeds = [
        s for s in dict.fromkeys(seed for _, seed in results) if all((side, s) in metrics for side in SIDES)
    ]
    if not seeds:
        raise RunError(f"winner and default did not both complete training on any seed: {failed[0].reason}")
    return differences({seed: {side: metrics[side, seed] for side in SIDES} for seed in seeds}, failed=failed)


def differences(metrics: Mapping[int, Mapping[str, Metrics]], **about: Any) -> Confirmation:
    """Return the record of a confirmation, from the metrics by seed and side."""
    first = next(iter(metrics.values()))["winner"]
    best = rank_by(first)
    pairs = [Pair(seed, *(sides[side][best].value for side in SIDES)) for seed, sides in metrics.items()]
    about = {"n": first[best].n, "split": "test", "real_baseline": first[best].real_baseline} | about
    return compare_pairs(best, pairs, **about)


def confirm_sampling(context: Context, winner: Winner) -> Confirmation:
    """Sample the same model with the settings of both sides, and compare their metrics."""
    settings, seeds = context.spec.settings, context.spec.settings["seeds"]
    changes: dict[str, Mapping[str, Any]] = {"winner": winner.values, "default": {}}
    variants = [(f"{side}-{seed}", seed, changes[side]) for seed in seeds for side in SIDES]
    model = f"{context.uri(f'train/{context.family}')}/model"
    n, results = evaluate_variants(context, model, settings["samples"], settings["threads"], variants)
    context.attempt.delete("parts")
    by_seed = by_seed_and_side(seeds, results)
    seconds = {
        side: sum(r[side].seconds_per_image or 0.0 for r in by_seed.values()) / len(seeds) for side in SIDES
    }
    metrics = {seed: {side: r[side].metrics for side in SIDES} for seed, r in by_seed.items()}
    return differences(metrics, of="sampling", n=n, seconds_per_image=SecondsPerImage(**seconds))


def by_seed_and_side(
    seeds: Sequence[int], results: Sequence[VariantResult]
) -> dict[int, dict[str, VariantResult]]:
    """Return the results by seed and side; they come in the order of seeds and, within one, of SIDES."""
    rest = iter(results)
    return {seed: {side: next(rest) for side in SIDES} for seed in seeds}


STAGE = Stage("confirmation", "sweep", spec, run, optional=True)
