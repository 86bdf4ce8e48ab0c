"""Stage `latents`: the images, encoded by a model that the family builds on."""

from __future__ import annotations

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.pipeline import prepare, train
from components.pipeline.plan import Plan
from components.pipeline.reference import IMAGES_PER_JOB
from components.pipeline.stage import Context, Stage
from components.records.stages import LatentsResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.training.latents import EncodeRequest

SPLITS = ("train", "validation")


def families(plan: Plan) -> list[str]:
    """Return the families that train on latents which can be computed once."""
    return [family for family in plan.experiment.families if plan.keeps_latents(family)]


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the data and the encoding model."""
    encoder = plan.upstream(family)[plan.encoder(family)]
    settings = {"threads": plan.experiment.training(family).torch_threads}
    upstream = {"prepare": prepare.spec(plan).key, f"train/{encoder}": train.spec(plan, encoder).key}
    return plan.spec("latents", settings, code("components.training.latents"), upstream, family)


def run(context: Context) -> LatentsResult:
    """Encode the images of the training and validation splits in parallel."""
    plan, threads, counts = context.plan, context.spec.settings["threads"], context.plan.card.counts
    encoder = plan.upstream(context.family)[plan.encoder(context.family)]
    folders = (f"{context.uri('prepare')}/data", f"{context.uri(f'train/{encoder}')}/model", context.folder)
    requests = [
        (EncodeRequest(context.store, *folders, split, number, start, n, threads, plan.device),)
        for split in SPLITS
        for number, (start, n) in enumerate(ranges(counts[split], IMAGES_PER_JOB))
    ]
    ray_cluster.each("components.training.latents:encode", requests, cpus=threads, gpus=context.gpus)
    return LatentsResult(latents={split: counts[split] for split in SPLITS})


STAGE = Stage("latents", "family", spec, run, families)
