"""Stage `ablation`: how other settings of sampling change a family's images and their metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from components.cluster import ray_cluster
from components.evaluation.requests import Variant
from components.families import catalogue
from components.families.catalogue import module_of
from components.pipeline import reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.stages.code_digest import code
from components.stages.spec import Spec

Sampled = tuple[str, int, Mapping[str, Any]]
"""A variant: its name, its seed, and the settings of sampling that it changes."""


def ablations(plan: Plan, family: str) -> list[dict[str, Any]]:
    """The comparisons of sampling settings to be made of a family, in full."""
    if not plan.experiment.evaluate.study_samples:
        return []
    return [
        {"name": s.name, "title": s.title, "variants": {name: dict(v) for name, v in s.variants.items()}}
        for s in catalogue.ablations(family, plan.own(family), plan.card.card)
    ]


def families(plan: Plan) -> list[str]:
    """The families that have ablations."""
    return [family for family in plan.experiment.families if ablations(plan, family)]


def spec(plan: Plan, family: str) -> Spec:
    """The trained family, the reference, and the variants."""
    evaluate = plan.experiment.evaluate
    settings: dict[str, Any] = {"samples": evaluate.study_samples, "studies": ablations(plan, family)}
    settings |= {"seed": evaluate.seed, "threads": evaluate.threads}
    upstream = {f"train/{family}": train.spec(plan, family).key, "reference": reference.spec(plan).key}
    digests = code("components.pipeline.ablation", "components.analysis.ablation", module_of(family))
    return plan.spec("ablation", settings, digests, upstream, family)


def run(context: Context) -> dict[str, Any]:
    """Evaluate each variant, and show the images between noise and samples."""
    began, settings, model = (
        time.time(),
        context.spec.settings,
        f"{context.uri(f'train/{context.family}')}/model",
    )
    variants = [
        (f"{s['name']}-{i:02}", settings["seed"], change)
        for s in settings["studies"]
        for i, change in enumerate(s["variants"].values())
    ]
    n, results = evaluate_variants(context, model, settings["samples"], settings["threads"], variants)
    places = context.places(f"{context.folder}/parts", settings["threads"])
    arguments = (places, model, settings["seed"], context.folder, context.plan.device)
    ways = ray_cluster.call(
        "components.analysis.ablation:show", *arguments, cpus=settings["threads"], gpus=context.gpus
    )
    context.attempt.delete("parts")
    result = iter(results)
    studies = [
        {**s, "variants": [{"name": v, "change": c, **next(result)} for v, c in s["variants"].items()]}
        for s in settings["studies"]
    ]
    return {"studied": {"n": n, "studies": studies, "ways": ways}, "work_seconds": time.time() - began}


def evaluate_variants(
    context: Context, model: str, samples: int, threads: int, variants: Sequence[Sampled]
) -> tuple[int, list[dict[str, Any]]]:
    """Sample and evaluate one model with several settings, side by side, in the order of `variants`.

    Returns the number of images of each, which is at most that of the test and of the training split, and for
    each variant its metrics, the seconds per image and the file of its first images.
    """
    places = context.places(f"{context.folder}/parts", threads)
    images = context.store.read_json(f"{places.reference}/reference.json")["images"]
    n = min(samples, images["test"], images["train"])  # training images yield the real baseline
    n = catalogue.most_samples(context.family, context.plan.card, "test", n)
    jobs = "components.analysis.ablation"
    floors = ray_cluster.call(f"{jobs}:floors", places, n, context.family, cpus=threads)
    requests = [
        (Variant(places, model, n, seed, name, context.folder, change, floors, context.plan.device),)
        for name, seed, change in variants
    ]
    return n, ray_cluster.each(f"{jobs}:vary", requests, cpus=threads, gpus=context.gpus)


STAGE = Stage("ablation", "family", spec, run, families, after=("evaluate",), optional=True)
