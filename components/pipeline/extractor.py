"""Stage `extractor`: the network whose features metrics use, trained on the data or adopted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from components.cluster import ray_cluster
from components.extractors.kinds import TRAINED, identity
from components.extractors.pretrained import check_inception, find_inception
from components.pipeline import prepare
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import ExtractorResult
from components.registry import pins
from components.stages import cache
from components.stages.cache import Done
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store


def spec(plan: Plan) -> Spec:
    """Return the spec: the pinned extractor, independent of the current data and code, or a new one.

    The spec of an adopted extractor consists of its weights and preprocessing, and not of our code and data.
    """
    evaluate, kind = plan.experiment.evaluate, plan.extractor_kind
    if kind in TRAINED:
        settings: dict[str, Any] = {"kind": kind, "steps": evaluate.extractor_steps}
        digests = code("components.extractors.make", "components.extractors.small")
        unpinned = plan.spec("extractor", settings, digests, {"prepare": prepare.spec(plan).key})
        return replace(unpinned, pinned=plan.pin.key if plan.pin else None)
    custom = evaluate.custom.model_dump() if evaluate.custom else None
    return Spec("extractor", {"kind": kind, **identity(kind, custom)}, {}, device=plan.device)


def check(plan: Plan) -> None:
    """Verify Inception's weights if this machine has the file; the cluster may have its own.

    Raises:
        InputError: the file does not hold Inception's weights.
    """
    if plan.extractor_kind == "inception":
        file = find_inception(plan.experiment.evaluate.inception_path)
        if file and file.is_file():
            check_inception(file)


def run(context: Context) -> ExtractorResult:
    """Train or adopt the extractor."""
    settings = context.plan.evaluate_settings
    threads = settings["threads"]
    out = f"{context.folder}/extractor"
    arguments = (context.store, f"{context.uri('prepare')}/data", out, settings, threads)
    identity = ray_cluster.call("components.evaluation.jobs:extractor", *arguments, cpus=threads)
    return ExtractorResult(extractor=identity)


def with_pinned_extractor(store: Store, plan: Plan, done: Done, *, replace_pin: bool = False) -> Plan:
    """Pin the new extractor if none is pinned or `replace_pin` is set; return the plan with the pin."""
    if plan.extractor_kind in TRAINED and (plan.pin is None or replace_pin):
        number = plan.pin.number if plan.pin else 0
        extractor = ExtractorResult.model_validate(cache.read(store, done)).extractor
        content = {"key": done.key, "hash": extractor.hash, "data": plan.version, "run_id": done.run_id}
        content |= {"reason": "retrained" if replace_pin else "the first"}
        pins.pin(store, plan.card.name, plan.extractor_recipe, after=number, **content)
    return plan.with_pin(store)


STAGE = Stage("extractor", "data", spec, run, settle=with_pinned_extractor)
