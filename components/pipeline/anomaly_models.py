"""Stage `anomaly_models`: for each class that is held out, a model of the family that has not seen it."""

from __future__ import annotations

import time

from components.cluster import ray_cluster
from components.common.errors import InputError
from components.config.train import Train
from components.families.catalogue import module_of
from components.pipeline import prepare, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.analysis import AnomalyModelsResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.training.request import TrainRequest


def families(plan: Plan) -> list[str]:
    """The families that encode images and are not class-conditional, if classes are held out."""
    if not held_out_classes(plan):
        return []
    return [family for family in plan.encoding_families if not plan.reads_classes(family)]


def held_out_classes(plan: Plan) -> list[str]:
    """The classes that are left out in turn, by name."""
    names = plan.experiment.evaluate.held_out_classes
    return list(plan.card.labels or []) if names == "all" else list(dict.fromkeys(names))


def check(plan: Plan) -> None:
    """Raise InputError where the data has no such class, or no family can have it held out."""
    if not plan.experiment.evaluate.held_out_classes:
        return
    labels, data, encoding = plan.card.labels or [], plan.card.name, plan.encoding_families
    if not encoding:
        names = ", ".join(plan.experiment.families)
        raise InputError(
            f"evaluate.held_out_classes is for families that encode images; none of {names} does"
        )
    if len(labels) < 2:
        raise InputError(
            f"evaluate.held_out_classes leaves out a class, and data set {data} has {len(labels)}"
        )
    if missing := [name for name in held_out_classes(plan) if name not in labels]:
        names = ", ".join(labels[:20])
        raise InputError(
            f"evaluate.held_out_classes: data set {data} has no class {missing[0]!r}; known: {names}"
        )
    if not families(plan):
        names = ", ".join(encoding)
        raise InputError(
            f"evaluate.held_out_classes needs a family that is not class-conditional; these all are: {names}"
        )


def training(plan: Plan, family: str) -> Train:
    """The family's training settings, with nothing sampled or evaluated on the way."""
    alone = {"snapshot_samples": 0, "ema_sigma_rel": (), "num_snapshots": 1, "workers": 1}
    return Train(**plan.experiment.training(family).model_dump() | alone)


def spec(plan: Plan, family: str) -> Spec:
    """The family's training, and the held-out classes."""
    settings = dict(train.spec(plan, family).settings)
    settings |= {"train": training(plan, family).semantic(), "held_out_classes": held_out_classes(plan)}
    digests = code("components.training.job", module_of(family))
    upstream = {"prepare": prepare.spec(plan).key}
    return plan.spec("anomaly_models", settings, digests, upstream, family)


def run(context: Context) -> AnomalyModelsResult:
    """Train a model without each class, side by side."""
    began, plan, family = time.time(), context.plan, context.family
    labels, settings = plan.card.labels or [], training(plan, family)
    folders = {name: f"without-{labels.index(name):03}" for name in held_out_classes(plan)}
    jobs = [
        TrainRequest(
            family,
            config=plan.family_settings(family),
            train=settings.model_dump(),
            data=f"{context.uri('prepare')}/data",
            attempt=f"{context.folder}/{folder}",
            store=context.store.url,
            device=plan.device,
            flips=plan.experiment.data.horizontal_flip,
            without=labels.index(name),
        )
        for name, folder in folders.items()
    ]
    cpus = settings.torch_threads
    ray_cluster.each("components.training.job:fit", [(job,) for job in jobs], cpus=cpus, gpus=context.gpus)
    for folder in folders.values():
        context.attempt.delete(f"{folder}/checkpoints")  # only needed to resume
    models = {name: f"{folder}/model" for name, folder in folders.items()}
    return AnomalyModelsResult(anomaly_models=models, work_seconds=time.time() - began)


STAGE = Stage("anomaly_models", "family", spec, run, families, after=("evaluate",), optional=True)
