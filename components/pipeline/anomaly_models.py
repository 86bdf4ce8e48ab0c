"""Stage `anomaly_models`: for each held-out class, a model of the family trained without it."""

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

SMOKE_CLASSES = 2  # that are held out with --smoke


def families(plan: Plan) -> list[str]:
    """Return the families that encode images and are not class-conditional, if classes are held out."""
    if not held_out_classes(plan):
        return []
    return [family for family in plan.encoding_families if not plan.reads_classes(family)]


def held_out_classes(plan: Plan, most: int | None = None) -> list[str]:
    """Return the names of the classes that are held out in turn, at most `most`."""
    names = plan.experiment.evaluate.held_out_classes
    return (list(plan.card.labels or []) if names == "all" else list(dict.fromkeys(names)))[:most]


def check(plan: Plan) -> None:
    """Raise InputError if the data lacks a held-out class, or no family can be trained without it."""
    if not plan.experiment.evaluate.held_out_classes:
        return
    labels, data, encoding = plan.card.labels or [], plan.card.name, plan.encoding_families
    if len(labels) < 2:
        raise InputError(
            f"evaluate.held_out_classes needs at least two classes, but data set {data} has {len(labels)}"
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
    """Return the family's training settings, without samples or evaluations during training."""
    # The model to begin with may have learned from the class.
    overrides = {
        "initial": None,
        "snapshot_samples": 0,
        "ema_sigma_rel": (),
        "num_snapshots": 1,
        "workers": 1,
    }
    return Train(**plan.experiment.training(family).model_dump() | overrides)


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the family's training, and the held-out classes."""
    settings = dict(train.spec(plan, family).settings)
    trained = training(plan, family)
    held_out = held_out_classes(plan, SMOKE_CLASSES if trained.smoke else None)
    settings |= {"train": trained.semantic(), "held_out_classes": held_out}
    digests = code("components.training.job", module_of(family))
    upstream = {"prepare": prepare.spec(plan).key}
    return plan.spec("anomaly_models", settings, digests, upstream, family)


def run(context: Context) -> AnomalyModelsResult:
    """Train one model per held-out class, in parallel."""
    began, plan, family = time.monotonic(), context.plan, context.family
    labels, settings = plan.card.labels or [], training(plan, family)
    folders = {name: f"without-{labels.index(name):03}" for name in context.spec.settings["held_out_classes"]}
    jobs = [
        TrainRequest(
            family,
            config=plan.family_settings(family),
            train=settings.model_dump(),
            data=f"{context.uri('prepare')}/data",
            attempt=f"{context.folder}/{folder}",
            store=context.store,
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
    return AnomalyModelsResult(anomaly_models=models, work_seconds=time.monotonic() - began)


STAGE = Stage("anomaly_models", "family", spec, run, families, after=("evaluate",), optional=True)
