"""Stage `latents`: the images, encoded by a model that the family builds on."""

from __future__ import annotations

from math import ceil

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.pipeline import prepare, train
from components.pipeline.plan import Plan
from components.pipeline.reference import IMAGES_PER_JOB
from components.pipeline.stage import Context, Stage
from components.records.stages import LatentsResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store
from components.training.request import EncodeRequest

SPLITS = ("train", "validation")
SMOKE_IMAGES = 128  # of each split that are encoded with --smoke, at most as many as of one job


def families(plan: Plan) -> list[str]:
    """Return the families that train on latents which can be computed once."""
    return [family for family in plan.experiment.families if plan.keeps_latents(family)]


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the data, the encoding model and, with --smoke, how many images it encodes."""
    encoder = plan.upstream(family)[plan.encoder(family)]
    training = plan.experiment.training(family)
    settings = {"threads": training.torch_threads} | ({"images": SMOKE_IMAGES} if training.smoke else {})
    upstream = {"prepare": prepare.spec(plan).key, f"train/{encoder}": train.spec(plan, encoder).key}
    return plan.spec("latents", settings, code("components.training.latents"), upstream, family)


def run(context: Context) -> LatentsResult:
    """Encode the images of the training and validation splits in parallel.

    A smoke run encodes the first images only, whose latents the other ones share.
    """
    plan, settings, counts = context.plan, context.spec.settings, context.plan.card.counts
    threads, most = settings["threads"], settings.get("images")
    encoder = plan.upstream(context.family)[plan.encoder(context.family)]
    folders = (f"{context.uri('prepare')}/data", f"{context.uri(f'train/{encoder}')}/model", context.folder)
    requests = [
        (EncodeRequest(context.store, *folders, split, number, start, n, threads, plan.device),)
        for split in SPLITS
        for number, (start, n) in enumerate(ranges(min(counts[split], most or counts[split]), IMAGES_PER_JOB))
    ]
    ray_cluster.each("components.training.latents:encode", requests, cpus=threads, gpus=context.gpus)
    if most:
        for split in SPLITS:
            repeat(context.store, f"{context.folder}/{split}", ceil(counts[split] / most))
    return LatentsResult(latents={split: counts[split] for split in SPLITS})


def repeat(store: Store, folder: str, times: int) -> None:
    """Store the first file of latents in a folder under the next numbers, so that there are `times` files."""
    first = store.read_bytes(f"{folder}/latents-00000.npy")
    for number in range(1, times):
        store.write_bytes(f"{folder}/latents-{number:05d}.npy", first)


STAGE = Stage("latents", "family", spec, run, families)
