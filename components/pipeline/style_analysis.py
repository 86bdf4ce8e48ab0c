"""Stage `style_analysis`: views of the styles of style-based families."""

from __future__ import annotations

import functools
import time
from typing import Any

from components.cluster import ray_cluster
from components.extractors.kinds import TRAINED
from components.extractors.perceptual_network import resolved
from components.families.catalogue import is_style_based, module_of
from components.pipeline import extractor, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.analysis import LatentAnalysis, LatentAnalysisResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from models.data_spec import DataSpec

PAIRS = 1000  # paths whose length is measured, at most
PIXELS = 2**24  # of one of their images each, at most
LEAST_PAIRS = 16


@functools.cache
def network_for(card: DataSpec, *, trained: bool) -> str:
    """Return the network that compares images; its weights are verified once per process."""
    return resolved("auto", card, trained=trained)


def families(plan: Plan) -> list[str]:
    """Return the families that are style-based."""
    if not plan.experiment.evaluate.latent_analysis:
        return []
    return [family for family in plan.experiment.families if is_style_based(family)]


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the trained family, the extractor, and the network that compares images."""
    evaluate, card = plan.experiment.evaluate, plan.card_for(family)
    most = LEAST_PAIRS if plan.experiment.training(family).smoke else PAIRS
    pairs = min(most, evaluate.analysis_images, max(LEAST_PAIRS, PIXELS // card.resolution**2))
    network = network_for(card, trained=plan.extractor_kind in TRAINED)
    settings: dict[str, Any] = {"seed": evaluate.seed, "threads": evaluate.threads}
    settings |= {"pairs": pairs, "network": network}
    upstream = {f"train/{family}": train.spec(plan, family).key, "extractor": extractor.spec(plan).key}
    digests = code("components.pipeline.style_analysis", "components.analysis.styles", module_of(family))
    return plan.spec("style_analysis", settings, digests, upstream, family)


def run(context: Context) -> LatentAnalysisResult:
    """Make all views in one job."""
    began, settings = time.monotonic(), context.spec.settings
    threads = settings["threads"]
    views = ray_cluster.call(
        "components.analysis.styles:style_views",
        context.places(f"{context.folder}/parts", threads),
        f"{context.uri(f'train/{context.family}')}/model",
        context.folder,
        settings["seed"],
        settings["pairs"],
        settings["network"],
        context.plan.device,
        cpus=threads,
        gpus=context.gpus,
    )
    return LatentAnalysisResult(analysis=LatentAnalysis(views=views), work_seconds=time.monotonic() - began)


STAGE = Stage("style_analysis", "family", spec, run, families, after=("evaluate",), optional=True)
