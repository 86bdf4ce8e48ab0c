"""Stage `ablation`: the effect of sampling settings on a family's images and metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from components.cluster import ray_cluster
from components.evaluation import requests
from components.families import catalogue
from components.families.catalogue import module_of
from components.pipeline import reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.ablation import Ablation, AblationResult, Ablations, Variant, VariantResult
from components.stages.code_digest import code
from components.stages.spec import Spec

if TYPE_CHECKING:
    from models.family import Study

JOBS = "components.analysis.ablation"
SMOKE_VARIANTS = 2  # of each comparison with --smoke
SHARE = 0.25  # of a training's work, at most, that the samples of an ablation take
FEWEST = 16  # samples of a variant, in any case
FORWARD_AND_BACKWARD = 3  # evaluations of a network that a training step of an image costs, roughly

Sampled = tuple[str, int, Mapping[str, Any]]
"""A variant: its name, its seed, and the sampling settings that it changes."""


def ablations(plan: Plan, family: str) -> Sequence[Study]:
    """Return the comparisons of sampling settings for a family."""
    if not plan.experiment.evaluate.ablation_samples:
        return ()
    studies = catalogue.ablations(family, plan.family_settings(family), plan.card.card)
    most = SMOKE_VARIANTS if plan.experiment.training(family).smoke else None
    return [replace(each, variants=dict(list(each.variants.items())[:most])) for each in studies]


def samples(plan: Plan, family: str) -> int:
    """Return the samples of each variant: as many as asked for, or as a short training justifies.

    Both costs are counted in evaluations of the network, so the number depends on settings alone.
    """
    training, settings = plan.experiment.training(family), plan.family_settings(family)
    work = FORWARD_AND_BACKWARD * training.steps * training.batch
    variants = [change for each in ablations(plan, family) for change in each.variants.values()]
    affordable = int(SHARE * work / sum(evaluations({**settings, **change}) for change in variants))
    asked = plan.experiment.evaluate.ablation_samples
    return min(asked, max(FEWEST, affordable))


def evaluations(settings: Mapping[str, Any]) -> int:
    """Return the evaluations of the network that a sample takes: 1 without steps of a sampler."""
    twice = settings.get("sampler") == "heun", settings.get("guidance_scale") not in (None, 1)
    return int(settings.get("sampler_steps") or 1) * 2 ** sum(twice)


def families(plan: Plan) -> list[str]:
    """Return the families that have ablations."""
    return [family for family in plan.experiment.families if ablations(plan, family)]


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the trained family, the reference, and the variants."""
    evaluate = plan.experiment.evaluate
    settings: dict[str, Any] = {"samples": samples(plan, family)}
    settings["studies"] = [asdict(ablation) for ablation in ablations(plan, family)]
    settings |= {"seed": evaluate.seed, "threads": evaluate.threads}
    upstream = {f"train/{family}": train.spec(plan, family).key, "reference": reference.spec(plan).key}
    digests = code("components.pipeline.ablation", "components.analysis.ablation", module_of(family))
    return plan.spec("ablation", settings, digests, upstream, family)


def run(context: Context) -> AblationResult:
    """Evaluate each variant, and save the sampling trajectories."""
    began, settings = time.monotonic(), context.spec.settings
    planned = ablations(context.plan, context.family)
    model = f"{context.uri(f'train/{context.family}')}/model"
    variants = [
        (f"{ablation.name}-{i:02}", settings["seed"], change)
        for ablation in planned
        for i, change in enumerate(ablation.variants.values())
    ]
    n, results = evaluate_variants(context, model, settings["samples"], settings["threads"], variants)
    places = context.places(f"{context.folder}/parts", settings["threads"])
    arguments = (places, model, settings["seed"], context.folder, context.plan.device)
    trajectories = ray_cluster.call(
        f"{JOBS}:save_trajectories", *arguments, cpus=settings["threads"], gpus=context.gpus
    )
    context.attempt.delete("parts")
    result = iter(results)
    studies = [
        Ablation(
            name=ablation.name,
            title=ablation.title,
            variants=[
                Variant(name=name, change=change, **dict(next(result)))
                for name, change in ablation.variants.items()
            ],
        )
        for ablation in planned
    ]
    studied = Ablations(n=n, studies=studies, ways=trajectories)
    return AblationResult(studied=studied, work_seconds=time.monotonic() - began)


def evaluate_variants(
    context: Context, model: str, samples: int, threads: int, variants: Sequence[Sampled]
) -> tuple[int, list[VariantResult]]:
    """Sample and evaluate one model with several settings in parallel.

    Returns the number of images per variant, limited by the size of the test and training splits, and the
    results in the order of `variants`.
    """
    places = context.places(f"{context.folder}/parts", threads)
    images = context.store.read_json(f"{places.reference}/reference.json")["images"]
    n = min(samples, images["test"], images["train"])  # training images yield the real baseline
    n = catalogue.most_samples(context.family, context.plan.card, "test", n)
    baselines = ray_cluster.call(f"{JOBS}:real_baselines", places, n, context.family, cpus=threads)
    arguments = [
        (
            requests.Variant(
                places, model, n, seed, name, context.folder, change, baselines, context.plan.device
            ),
        )
        for name, seed, change in variants
    ]
    return n, ray_cluster.each(f"{JOBS}:evaluate_variant", arguments, cpus=threads, gpus=context.gpus)


STAGE = Stage("ablation", "family", spec, run, families, after=("evaluate",), optional=True)
