"""Stage `sweep`: a search over a family's hyperparameters: trials and finalists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.families.catalogue import module_of
from components.pipeline import extractor, reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.training.checkpoint import KEEP
from components.tuning.trial import Terms, train_of
from components.tuning.trial_log import OVER, Story

NOT_IN_KEY = {"side_by_side", "gpus", "fresh_seeds"}  # settings of the sweep that change none of its results


def samples_only(plan: Plan) -> bool:
    """Whether all that is searched are settings of sampling, so that trials share one trained model."""
    return all(h.sampling for h in plan.searched)


def trial_spec(plan: Plan, family: str) -> Spec:
    """What a trial depends on besides its values; one that only samples builds on the training."""
    whole = train.spec(plan, family)
    if samples_only(plan):
        upstream = {f"train/{family}": whole.key, "reference": reference.spec(plan).key}
        return plan.spec("trial", {}, code("components.tuning.trial", module_of(family)), upstream, family)
    upstream = {"extractor": extractor.spec(plan).key, "reference": reference.spec(plan).key}
    digests = dict(whole.code) | code("components.tuning.trial")
    return plan.spec("trial", {}, digests, upstream | dict(whole.upstream), family)


def spec(plan: Plan, family: str) -> Spec:
    """The settings of the sweep, the ranges that it searches, and what a trial depends on."""
    sweep = plan.experiment.sweep
    assert sweep is not None
    trial = trial_spec(plan, family)
    settings = {
        "sweep": sweep.model_dump(mode="json", exclude=NOT_IN_KEY),
        "searched": [h.described() for h in plan.searched],
        "base": dict(train.spec(plan, family).settings),
    }
    digests = dict(trial.code) | code(
        "components.tuning.sweep", "components.tuning.trial", "components.tuning.search"
    )
    return plan.spec("sweep", settings, digests, trial.upstream, family)


def run(context: Context) -> dict[str, Any]:
    """Search, with the seed of the experiment's training."""
    from components.tuning.sweep import sweep as search  # takes long to import, and most runs have no sweep

    plan, block = context.plan, context.plan.experiment.families[context.family]
    assert plan.experiment.sweep is not None
    keep, seed = block["train"]["keep"], block["train"]["seed"]
    arguments = (context.store, context.attempt, trial_context(context), plan.searched, plan.experiment.sweep)
    return {"swept": search(*arguments, seed=seed, keep=keep, moved=lambda story: show(context, story))}


def show(context: Context, story: Story) -> None:
    """Show how many trials and finalists are finished, and the time that is left."""
    counts, left = story.counts(), story.left()
    finished = sum(n for state, n in counts.items() if state in OVER)
    parts = [", ".join(f"{n} {state}" for state, n in counts.items() if state != "waiting")]
    if finished == story.planned:
        parts.append(f"finalists: {story.finals[0]} of {story.finals[1]} judged again")
    if left is not None:
        parts.append(f"about {left / 60:.0f} min left")
    record = {"trials": counts, "finals": story.finals, "seconds_left": left}
    context.progress(finished, story.planned, "; ".join(parts), **record)


def trial_context(context: Context) -> Terms:
    """What all trials of the sweep share."""
    plan, family = context.plan, context.family
    sweep, block = plan.experiment.sweep, plan.experiment.families[family]
    assert sweep is not None
    common: Mapping[str, Any] = {
        "store": context.store.url,
        "run_id": context.run_id,
        "family": family,
        "spec": trial_spec(plan, family),
        "data": f"{context.uri('prepare')}/data",
        "reference": context.uri("reference"),
        "extractor": f"{context.uri('extractor')}/extractor",
        "captions": context.uri("captions") if "captions" in context.results else "",
        "upstream": {
            name: f"{context.uri(f'train/{below}')}/model" for name, below in plan.upstream(family).items()
        },
        "device": plan.device,
        "flips": plan.experiment.data.flips,
        "metric": sweep.metric,
        "diversity": sweep.diversity,
        "samples": sweep.samples,
    }
    if samples_only(plan):
        return Terms(**common, block=block, model=f"{context.uri(f'train/{family}')}/model", judgements=1)
    latents = f"latents/{family}"
    population = sweep.scheduler == "pbt"
    return Terms(
        **common,
        block=block | {"train": train_of(sweep, block["train"])},
        latents=context.uri(latents) if latents in context.results else "",
        judgements=sweep.judgements,
        pointers=population,
        checkpoints=sweep.grace + 1 if population else KEEP,  # those from the last rung on
        workers=sweep.workers,
    )


STAGE = Stage("sweep", "sweep", spec, run, optional=True)
