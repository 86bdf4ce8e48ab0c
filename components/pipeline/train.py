"""Stage `train`: train a family under Ray Train."""

from __future__ import annotations

from components.families.catalogue import advice_on, module_of
from components.pipeline import captions, extractor, prepare, reference
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.names import RESULT
from components.records.stages import TrainResult
from components.records.training import TrainingResult
from components.stages.cache import Done, claimed, read
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store
from components.training.request import TrainRequest


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the family's settings and code, its inputs, and the evaluator of its snapshots."""
    settings = plan.experiment.training(family)
    block = dict(plan.experiment.families[family])
    block |= {"train": settings.semantic(), "flips": plan.experiment.data.horizontal_flip}
    upstream = {"prepare": prepare.spec(plan).key}
    if settings.judges:
        upstream |= {"extractor": extractor.spec(plan).key, "reference": reference.spec(plan).key}
    if plan.reads_captions(family):
        upstream["captions"] = captions.spec(plan).key
    for below in plan.upstream(family).values():
        upstream[f"train/{below}"] = spec(plan, below).key
    digests = code("components.training.job", module_of(family))
    if plan.keeps_latents(family):  # their other inputs are already upstream
        block["latents"] = True
        digests |= code("components.training.latents")
    return plan.spec("train", block, digests, upstream, family)


def advice(plan: Plan, store: Store) -> list[str]:
    """Return a sentence for each family that is to be trained with settings that do not suit the data.

    Nothing of a smoke run, whose samples mean nothing.
    """
    if plan.experiment.smoke:
        return []
    sentences = (
        advice_on(family, plan.family_settings(family), plan.card_for(family))
        for family in plan.experiment.families
        if not claimed(store, spec(plan, family))
    )
    return [sentence for sentence in sentences if sentence]


def request(context: Context) -> TrainRequest:
    """Return the training request of a family."""
    plan, family = context.plan, context.family
    block = dict(plan.experiment.families[family])
    latents = f"latents/{family}" if plan.keeps_latents(family) else None
    return TrainRequest(
        family,
        train=block.pop("train"),
        config=block,
        data=f"{context.uri('prepare')}/data",
        attempt=context.folder,
        store=context.store,
        reference=context.uri("reference"),
        extractor=f"{context.uri('extractor')}/extractor",
        expected=plan.expected_extractor,
        upstream={name: f"{context.uri(f'train/{f}')}/model" for name, f in plan.upstream(family).items()},
        device=plan.device,
        flips=plan.experiment.data.horizontal_flip,
        captions=context.uri("captions") if plan.reads_captions(family) else "",
        latents=context.uri(latents) if latents else "",
    )


def run(context: Context) -> TrainResult:
    """Train the family; a restart of the same attempt continues from its newest checkpoint."""
    from components.training import ray_train  # imports PyTorch, which plans do without

    job = request(context)
    ray_train.fit(job, f"{context.family}-{context.spec.key}-{context.number}")
    trained = TrainingResult.model_validate(context.attempt.read_json(RESULT))
    return TrainResult(trained=trained, work_seconds=trained.work_seconds)


def result(store: Store, done: Done) -> TrainingResult:
    """Return the result of a training from its finished stage."""
    training = TrainingResult.read(read(store, done)["trained"])
    assert training, done.uri
    return training


STAGE = Stage("train", "family", spec, run, after=("latents",), shows_progress=True)
