"""Stage `latent_analysis`: analyses of the latent codes of a family that encodes images."""

from __future__ import annotations

import time

from components.cluster import ray_cluster
from components.evaluation.requests import AnalysisRequest
from components.families.catalogue import module_of
from components.pipeline import anomaly_models, reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.analysis import AnomalyModelsResult, LatentAnalysis, LatentAnalysisResult
from components.records.stages import PrepareResult
from components.stages.code_digest import code
from components.stages.spec import Spec


def families(plan: Plan) -> list[str]:
    """Return the families that encode images."""
    return plan.encoding_families


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the trained family, the reference, and the models trained without a class."""
    evaluate = plan.experiment.evaluate
    settings = {"seed": evaluate.seed, "threads": evaluate.threads, "images": evaluate.analysis_images}
    upstream = {f"train/{family}": train.spec(plan, family).key, "reference": reference.spec(plan).key}
    if family in anomaly_models.families(plan):
        upstream[f"anomaly_models/{family}"] = anomaly_models.spec(plan, family).key
    digests = code("components.pipeline.latent_analysis", "components.analysis.jobs", module_of(family))
    return plan.spec("latent_analysis", settings, digests, upstream, family)


def run(context: Context) -> LatentAnalysisResult:
    """Make every view, each in its own job."""
    from components.analysis.view import max_images  # imports take long
    from components.analysis.views import VIEWS

    began, settings = time.monotonic(), context.spec.settings
    model = f"{context.uri(f'train/{context.family}')}/model"
    places = context.places(f"{context.folder}/parts", settings["threads"])
    held_out, device = held_out_models(context), context.plan.device
    seed, images = settings["seed"], settings["images"]
    requests = [
        (AnalysisRequest(places, model, view, seed, context.folder, held_out, images, device),)
        for view in VIEWS
    ]
    views = ray_cluster.each(
        "components.analysis.jobs:make_view", requests, cpus=settings["threads"], gpus=context.gpus
    )
    context.attempt.delete("parts")
    counts = context.read("prepare", PrepareResult).data.counts
    n = {split: min(count, max_images(split, images)) for split, count in counts.items()}
    analysis = LatentAnalysis(views=[view for view in views if view], n=n)
    return LatentAnalysisResult(analysis=analysis, work_seconds=time.monotonic() - began)


def held_out_models(context: Context) -> dict[str, str]:
    """Return the folders of the models trained without one class, by the name of that class."""
    name = f"anomaly_models/{context.family}"
    if name not in context.results:
        return {}
    models = context.read(name, AnomalyModelsResult)
    return {label: f"{context.uri(name)}/{folder}" for label, folder in models.anomaly_models.items()}


STAGE = Stage("latent_analysis", "family", spec, run, families, after=("evaluate",), optional=True)
