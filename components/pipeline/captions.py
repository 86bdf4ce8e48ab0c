"""Stage `captions`: encode each distinct caption of the data once, for text-conditional families."""

from __future__ import annotations

from components.cluster import ray_cluster
from components.data.text.package import identity
from components.pipeline import prepare
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import CaptionsResult
from components.stages.code_digest import code
from components.stages.spec import Spec

SMOKE_IMAGES = 64  # of each split whose captions are encoded with --smoke


def applies(plan: Plan) -> bool:
    """Return whether any family is conditioned on captions."""
    return any(plan.reads_captions(family) for family in plan.experiment.families)


def spec(plan: Plan) -> Spec:
    """Return the spec: the data and the encoder and, with --smoke, of how many images."""
    settings = identity().to_json() | ({"images": SMOKE_IMAGES} if plan.experiment.smoke else {})
    digests = code("components.data.text.encode_captions")
    return plan.spec("captions", settings, digests, {"prepare": prepare.spec(plan).key})


def run(context: Context) -> CaptionsResult:
    """Encode the captions of all splits, or with --smoke a few, which all images share."""
    arguments = (context.store, f"{context.uri('prepare')}/data", context.folder)
    images = context.spec.settings.get("images")
    encoder = ray_cluster.call("components.data.text.encode_captions:encode", *arguments, images)
    return CaptionsResult(captions=encoder)


STAGE = Stage("captions", "data", spec, run, applies=applies)
