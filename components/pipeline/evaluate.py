"""Stage `evaluate`: samples of the trained weights, best and last, compared with the test images."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.evaluation.requests import Draw, Verdict
from components.extractors.lpips import lpips_trunk
from components.families.catalogue import module_of, most_samples
from components.pipeline import reference, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.stages.code_digest import code
from components.stages.spec import Spec

SAMPLES_PER_JOB = 256  # a multiple of the chunk


@functools.cache
def lpips_file(path: str | None) -> str | None:
    """The file with the weights that LPIPS needs, if there is one; verified once per process."""
    file = lpips_trunk(path)
    return None if file is None else str(file)


def spec(plan: Plan, family: str) -> Spec:
    """The trained family, the reference, and the number and seed of the samples."""
    evaluate = plan.experiment.evaluate
    settings = {"samples": evaluate.samples, "seed": evaluate.seed, "threads": evaluate.threads}
    settings["lpips"] = lpips_file(evaluate.lpips_path) is not None
    upstream = {f"train/{family}": train.spec(plan, family).key, "reference": reference.spec(plan).key}
    digests = code("components.pipeline.evaluate", "components.evaluation.jobs", module_of(family))
    return plan.spec("evaluate", settings, digests, upstream, family)


def run(context: Context) -> dict[str, Any]:
    """Evaluate both checkpoints; the numbers of the one that is kept are the family's."""
    began, checkpoints, trained = time.time(), {}, f"train/{context.family}"
    training = context.read(trained)["trained"]
    for which, saved in training["checkpoints"].items():
        places = context.places(f"{context.folder}/parts/{which}", context.spec.settings["threads"])
        published = which == training["kept"]
        request = Verdict(places, context.uri(trained), context.family, context.folder, published)
        evaluated = evaluate_weights(context, request, f"{context.uri(trained)}/{saved['model']}")
        checkpoints[which] = {"step": saved["step"], **evaluated}
    context.attempt.delete("parts")
    best = checkpoints[training["kept"]]
    evaluated = {
        "metrics": best["metrics"],
        "samples_per_second": best["samples_per_second"],
        "kept": training["kept"],
        "selected_by": training["selected_by"],
        "averages": training["averages"],
        "checkpoints": {w: {"step": c["step"], "metrics": c["metrics"]} for w, c in checkpoints.items()},
        "neighbours": best["neighbours"],
        "stability": best["stability"],
        "baseline": best["baseline"],
        "curve": training["curve"],
    }
    return {"evaluated": evaluated, "work_seconds": time.time() - began}


def evaluate_weights(context: Context, request: Verdict, model: str) -> Mapping[str, Any]:
    """The metrics of the weights in the folder `model`; their images are sampled side by side."""
    settings, places = context.spec.settings, request.places
    trunk = lpips_file(context.plan.experiment.evaluate.lpips_path)
    n = min(settings["samples"], context.store.read_json(f"{places.reference}/reference.json")["n"])
    n = most_samples(request.family, context.plan.card, "test", n)
    draws = [
        Draw(
            places,
            model,
            length,
            settings["seed"],
            start,
            context.plan.device,
            lpips=trunk,
            baseline=request.published,
        )
        for start, length in ranges(n, SAMPLES_PER_JOB)
    ]
    cpus, jobs = settings["threads"], [(draw,) for draw in draws]
    drawn = ray_cluster.each("components.evaluation.jobs:draw", jobs, cpus=cpus, gpus=context.gpus)
    evaluated: dict[str, Any] = ray_cluster.call("components.evaluation.jobs:judge", request, cpus=cpus)
    return evaluated | {"samples_per_second": n / sum(part["seconds"] for part in drawn)}


STAGE = Stage("evaluate", "family", spec, run)
