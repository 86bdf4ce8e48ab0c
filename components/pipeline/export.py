"""Stage `export`: the averaged generator as safetensors and JSON, with a model card and samples."""

from __future__ import annotations

from components.pipeline import evaluate, train
from components.pipeline.compare import family_result
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import ExportResult
from components.report.model_card import model_card
from components.stages.code_digest import code
from components.stages.spec import Spec


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the trained and evaluated family."""
    upstream = {f"train/{family}": train.spec(plan, family).key}
    upstream |= {f"evaluate/{family}": evaluate.spec(plan, family).key}
    digests = code("components.pipeline.export", "components.report.model_card")
    return plan.spec("export", {}, digests, upstream, family)


def run(context: Context) -> ExportResult:
    """Copy the weights and samples, and write the model card."""
    trained, evaluated = f"train/{context.family}", f"evaluate/{context.family}"
    result = family_result(context.store, context.results[trained], context.results[evaluated])
    for name in ("model.safetensors", "config.json"):
        context.attempt.write_bytes(name, context.store.read_bytes(f"{context.uri(trained)}/model/{name}"))
    context.attempt.write_bytes("samples.webp", context.store.read_bytes(f"{result.samples}"))
    smoke = context.plan.experiment.training(context.family).smoke
    context.attempt.write_text("README.md", model_card(context.plan.card, result, smoke=smoke))
    return ExportResult(exported=context.family)


STAGE = Stage("export", "family", spec, run, on_cluster=False)
