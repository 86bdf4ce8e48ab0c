"""Evaluate a champion again by the protocol of a run, as a cached stage within the gate."""

from __future__ import annotations

from functools import partial

from components.common.errors import InputError
from components.evaluation.requests import EvaluateRequest
from components.families import catalogue
from components.pipeline import evaluate
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.evaluation import Metrics
from components.records.gate import Champion
from components.records.model import ModelConfig
from components.records.names import RESULT
from components.records.stages import EvaluateResult
from components.records.training import TrainingResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store.errors import MISSING_OR_TORN
from models.data_spec import DataSpec


def metrics(context: Context, champion: Champion) -> Metrics:
    """Return the metrics of a champion under the current protocol, from the store or computed now.

    Raises:
        InputError: its model does not fit the data of this run, or its files have changed.
    """
    check(context, champion)
    planned = spec(context, champion)
    stage = Stage("champion", "family", lambda: planned, partial(run, champion))
    done = stage.result(context.store, context.plan, planned, context.results, context.run_id)
    return evaluate.result(context.store, done).metrics


def spec(context: Context, champion: Champion) -> Spec:
    """Return the spec: the champion's files, the reference, and the number and seed of the samples."""
    plan, model = context.plan, champion.model
    settings = evaluation_settings(plan) | {"files": {file.path: file.sha256 for file in model.files}}
    names = ("reference", "captions")
    upstream = {name: context.results[name].key for name in names if name in context.results}
    digests = code(
        "components.pipeline.champion", "components.evaluation.jobs", catalogue.module_of(model.family)
    )
    return plan.spec("champion", settings, digests, upstream, model.family)


def evaluation_settings(plan: Plan) -> dict[str, object]:
    """Return the settings of an evaluation that do not depend on its family."""
    chosen = plan.experiment.evaluate
    lpips = evaluate.lpips_file(chosen.lpips_path) is not None
    return {"samples": chosen.samples, "seed": chosen.seed, "threads": chosen.threads, "lpips": lpips}


def run(champion: Champion, context: Context) -> EvaluateResult:
    """Sample the exported model and evaluate its samples, as those of any family of the run."""
    context.attempt.write_json(RESULT, TrainingResult().to_json())  # which the job reads: none is needed
    places = context.places(f"{context.folder}/parts", context.spec.settings["threads"])
    request = EvaluateRequest(places, context.folder, context.family, context.folder, published=False)
    result = evaluate.evaluate_weights(context, request, champion.model.folder)
    context.attempt.delete("parts")
    return EvaluateResult(evaluated=result)


def check(context: Context, champion: Champion) -> None:
    """Raise InputError if the champion's model cannot be sampled on the data of this run."""
    family, name = champion.model.family, f"champion {champion.number} ({champion.model.address})"
    try:
        content = context.store.read_json(f"{champion.model.folder}/config.json")
        model = ModelConfig.model_validate(content)
    except (*MISSING_OR_TORN, ValueError):
        raise InputError(
            f"the model of {name} is missing or damaged; restore the store from a copy"
        ) from None
    made_for = DataSpec.from_json(model.card)
    present = catalogue.card_for(family, model.config, context.plan.card)
    if made_for != present:
        raise InputError(
            f"{name} was made for {described(made_for)}, and the data has {described(present)} now"
        )
    if present.text and "captions" not in context.results:
        raise InputError(f"{name} needs captions, which no family of this run reads")


def described(card: DataSpec) -> str:
    """Return the shape of images in words."""
    classes = f", {card.num_classes} classes" if card.num_classes else ""
    source = f", sources of {card.source.channels} x {card.source.resolution}" if card.source else ""
    return f"images of {card.channels} x {card.resolution} x {card.resolution}{classes}{source}"
