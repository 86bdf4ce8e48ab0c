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


def spec(plan: Plan) -> Spec:
    """Return the spec: the data, the extractor and the number of samples, at most that of test images."""
    evaluate = plan.experiment.evaluate
    names = ("samples", "threads", "classifier_steps", "reference_images")
    settings = {name: getattr(evaluate, name) for name in names}
    settings["samples"] = min(evaluate.samples, plan.card.counts["test"])
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
