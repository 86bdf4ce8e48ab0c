"""Stage `reference`: the features of all real images, and the metrics of real against real images."""

from __future__ import annotations

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.pipeline import extractor, prepare
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import ReferenceResult
from components.stages.code_digest import code
from components.stages.spec import Spec

IMAGES_PER_JOB = 1024  # a multiple of the chunk
# Of the real baselines that are computed with the reference. Evaluations of other numbers of samples compute
# theirs once, so that trainings, which need the reference, do not depend on the number.
BASELINE_IMAGES = 1000


def spec(plan: Plan) -> Spec:
    """Return the spec: the data, the extractor, and of what its real baselines are computed."""
    evaluate = plan.experiment.evaluate
    settings = {name: getattr(evaluate, name) for name in ("threads", "classifier_steps", "reference_images")}
    settings["samples"] = min(BASELINE_IMAGES, plan.card.counts["test"])
    upstream = {"prepare": prepare.spec(plan).key, "extractor": extractor.spec(plan).key}
    return plan.spec("reference", settings, code("components.evaluation.jobs"), upstream)


def run(context: Context) -> ReferenceResult:
    """Extract the features of all splits in parallel, then evaluate real images against real images."""
    settings, counts = context.spec.settings, context.plan.card.counts
    threads, most = settings["threads"], settings["reference_images"]
    places = context.places(f"{context.folder}/parts", threads)
    ranges_of_splits = [
        (places, split, *r) for split, n in counts.items() for r in ranges(min(n, most or n), IMAGES_PER_JOB)
    ]
    ray_cluster.each("components.evaluation.jobs:extract_features", ranges_of_splits, cpus=threads)
    arguments = (places, context.folder, settings["samples"], settings["classifier_steps"], most)
    result: ReferenceResult = ray_cluster.call(
        "components.evaluation.jobs:reference", *arguments, cpus=threads
    )
    context.attempt.delete("parts")
    return result


STAGE = Stage("reference", "data", spec, run)
