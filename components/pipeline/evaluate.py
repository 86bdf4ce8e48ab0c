"""Stage `evaluate`: compare samples of the trained weights with the test images.

If the best weights are selected, the last are evaluated too, since the gap says how much selection matters.
If the last are selected (`select: last`), they alone are.
"""

from __future__ import annotations

import functools
import time

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.evaluation.requests import EvaluateRequest, SampleRequest
from components.extractors.pretrained import lpips_trunk
from components.families.catalogue import module_of, most_samples
from components.pipeline import reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.evaluation import Checkpoint, Evaluation
from components.records.stages import EvaluateResult
from components.stages.cache import Done, read
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store

SAMPLES_PER_JOB = 256  # a multiple of the chunk


@functools.cache
def lpips_file(path: str | None) -> str | None:
    """Return the verified file of LPIPS weights, if there is one; checked once per process."""
    file = lpips_trunk(path)
    return None if file is None else str(file)


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the trained family, the reference, and the number and seed of the samples."""
    evaluate = plan.experiment.evaluate
    settings = {"samples": evaluate.samples, "seed": evaluate.seed, "threads": evaluate.threads}
    settings["lpips"] = lpips_file(evaluate.lpips_path) is not None
    upstream = {f"train/{family}": train.spec(plan, family).key, "reference": reference.spec(plan).key}
    digests = code("components.pipeline.evaluate", "components.evaluation.jobs", module_of(family))
    return plan.spec("evaluate", settings, digests, upstream, family)


def run(context: Context) -> EvaluateResult:
    """Evaluate the weights; the metrics of the selected ones are the family's."""
    began, name = time.monotonic(), f"train/{context.family}"
    training, evaluations = train.result(context.store, context.results[name]), {}
    both = context.plan.experiment.training(context.family).select == "best"
    for which, saved in training.checkpoints.items():
        if which != training.kept and not both:
            continue
        places = context.places(f"{context.folder}/parts/{which}", context.spec.settings["threads"])
        published = which == training.kept
        request = EvaluateRequest(places, context.uri(name), context.family, context.folder, published)
        evaluations[which] = evaluate_weights(context, request, f"{context.uri(name)}/{saved.model}")
    context.attempt.delete("parts")
    result = evaluations[training.kept]
    result.kept, result.selected_by, result.averages = training.kept, training.selected_by, training.averages
    result.curve = training.curve
    result.checkpoints = {
        which: Checkpoint(step=saved.step, metrics=evaluations[which].metrics if which in evaluations else {})
        for which, saved in training.checkpoints.items()
    }
    return EvaluateResult(evaluated=result, work_seconds=time.monotonic() - began)


def result(store: Store, done: Done) -> Evaluation:
    """Return the evaluation of a family from its finished stage."""
    evaluation = Evaluation.read(read(store, done)["evaluated"])
    assert evaluation, done.uri
    return evaluation


def evaluate_weights(context: Context, request: EvaluateRequest, model: str) -> Evaluation:
    """Evaluate the weights in the folder `model` on images that are sampled in parallel."""
    settings, places = context.spec.settings, request.places
    trunk = lpips_file(context.plan.experiment.evaluate.lpips_path)
    images = context.store.read_json(f"{places.reference}/reference.json")["images"]
    n = min(settings["samples"], images["test"], images["train"])  # train images have the real baseline
    n = most_samples(request.family, context.plan.card, "test", n)
    requests = [
        SampleRequest(
            places,
            model,
            length,
            settings["seed"],
            start,
            context.plan.device,
            lpips=trunk,
            baselines=request.published,
        )
        for start, length in ranges(n, SAMPLES_PER_JOB)
    ]
    cpus, jobs = settings["threads"], [(sampling,) for sampling in requests]
    parts = ray_cluster.each("components.evaluation.jobs:sample", jobs, cpus=cpus, gpus=context.gpus)
    evaluation: Evaluation = ray_cluster.call(
        "components.evaluation.jobs:evaluate_family", request, cpus=cpus
    )
    evaluation.samples_per_second = n / sum(part.seconds for part in parts)
    return evaluation


STAGE = Stage("evaluate", "family", spec, run)
