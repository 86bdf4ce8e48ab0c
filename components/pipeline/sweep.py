"""Stage `sweep`: search a family's hyperparameters by trials, and evaluate finalists."""

from __future__ import annotations

from dataclasses import replace

from components.families.catalogue import module_of
from components.pipeline import extractor, reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import SearchResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.training.request import KEEP
from components.tuning.trial_context import TrialContext, train_of
from components.tuning.trial_log import OVER, TrialLog

NOT_IN_KEY = {
    "max_concurrent_trials",
    "gpus",
    "confirmation_seeds",
}  # settings of the sweep that change none of its results


def samples_only(plan: Plan) -> bool:
    """Return whether only sampling settings are searched, so that trials share one trained model."""
    return all(h.sampling for h in plan.searched)


def trial_spec(plan: Plan, family: str) -> Spec:
    """Return the spec of a trial without its values; a trial that only samples depends on the training."""
    training = train.spec(plan, family)
    if samples_only(plan):
        upstream = {f"train/{family}": training.key, "reference": reference.spec(plan).key}
        return plan.spec("trial", {}, code("components.tuning.trial", module_of(family)), upstream, family)
    upstream = {"extractor": extractor.spec(plan).key, "reference": reference.spec(plan).key}
    digests = dict(training.code) | code("components.tuning.trial")
    return plan.spec("trial", {}, digests, upstream | dict(training.upstream), family)


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the settings of the sweep, the searched ranges, and the spec of a trial."""
    sweep = plan.experiment.sweep
    assert sweep is not None
    trial = trial_spec(plan, family)
    settings = {
        "sweep": sweep.model_dump(mode="json", exclude=NOT_IN_KEY),
        "searched": [h.described().to_json() for h in plan.searched],
        "base": dict(train.spec(plan, family).settings),
    }
    digests = dict(trial.code) | code(
        "components.tuning.sweep", "components.tuning.trial", "components.tuning.search"
    )
    return plan.spec("sweep", settings, digests, trial.upstream, family)


def run(context: Context) -> SearchResult:
    """Run the search with the seed of the experiment's training."""
    from components.tuning.sweep import SweepRequest, sweep  # slow to import; most runs have no sweep

    plan, training = context.plan, context.plan.experiment.training(context.family)
    assert plan.experiment.sweep is not None
    request = SweepRequest(
        context.attempt, plan.searched, plan.experiment.sweep, training.seed, training.select
    )
    result = sweep(request, trial_context(context), lambda log: show(context, log))
    return SearchResult(swept=result)


def show(context: Context, log: TrialLog) -> None:
    """Show the numbers of finished trials and finalists, and the time left."""
    counts, seconds_left = log.counts(), log.left()
    finished = sum(n for state, n in counts.items() if state in OVER)
    parts = [", ".join(f"{n} {state}" for state, n in counts.items() if state != "waiting")]
    if finished == log.planned:
        parts.append(f"finalists: {log.finals[0]} of {log.finals[1]} evaluated again")
    if seconds_left is not None:
        parts.append(f"about {seconds_left / 60:.0f} min left")
    record = {"trials": counts, "finals": list(log.finals), "seconds_left": seconds_left}
    context.progress(finished, log.planned, "; ".join(parts), **record)


def trial_context(context: Context) -> TrialContext:
    """Return the settings that all trials of the sweep share."""
    plan, family, sweep = context.plan, context.family, context.plan.experiment.sweep
    assert sweep is not None
    shared = TrialContext(
        run_id=context.run_id,
        spec=trial_spec(plan, family),
        training=train.request(context),
        metric=sweep.metric,
        diversity=sweep.min_diversity,
        samples=sweep.samples,
    )
    if samples_only(plan):
        return replace(shared, model=f"{context.uri(f'train/{family}')}/model", judgements=1)
    population = sweep.scheduler == "pbt"
    settings = train_of(sweep, shared.training.train)
    training = replace(
        shared.training,
        train=settings,
        checkpoints=sweep.grace_period + 1 if population else KEEP,  # those from the last rung on
    )
    return replace(
        shared,
        training=training,
        share=settings["steps"] / shared.training.train["steps"],
        judgements=sweep.evaluations,
        pointers=population,
        workers=sweep.workers,
    )


STAGE = Stage("sweep", "sweep", spec, run, optional=True)
