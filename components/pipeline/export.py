"""Stage `export`: a model as a folder of the Hugging Face Hub: weights, settings, model card and samples."""

from __future__ import annotations

from pathlib import Path

from components.common.hashing import sha256
from components.common.seeds import derive
from components.families.tasks import TASKS
from components.pipeline import evaluate, train
from components.pipeline.compare import family_result
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.model import ModelConfig, ModelOrigin, PublishedSamples
from components.records.run import FamilyResult
from components.records.stages import ExportResult
from components.report.front_matter import front_matter
from components.report.model_card import model_card
from components.stages.code_digest import code
from components.stages.spec import Spec
from models.data_spec import DataSpec


def spec(plan: Plan, family: str) -> Spec:
    """Return the spec: the trained and evaluated family."""
    upstream = {f"train/{family}": train.spec(plan, family).key}
    upstream |= {f"evaluate/{family}": evaluate.spec(plan, family).key}
    digests = code(
        "components.pipeline.export",
        "components.report.front_matter",
        "components.report.model_card",
        "components.sampling.published",
    )
    return plan.spec("export", {}, digests, upstream, family)


def run(context: Context) -> ExportResult:
    """Copy the weights and samples, and write the model card."""
    trained, evaluated = f"train/{context.family}", f"evaluate/{context.family}"
    result = family_result(context.store, context.results[trained], context.results[evaluated])
    folder = context.store.child(f"{context.uri(trained)}/model")
    weights = folder.read_bytes("model.safetensors")
    context.attempt.write_bytes("model.safetensors", weights)
    content = folder.read_json("config.json")
    selected = result.checkpoints.get(result.kept)
    origin = ModelOrigin(
        run_id=context.results[trained].run_id, step=selected.step if selected else result.train.steps
    )
    context.attempt.write_json("config.json", content | {"origin": origin.to_json()})
    model = ModelConfig.model_validate(content)
    model.origin = origin
    pictures = write_samples(context, model, result, sha256(weights))
    smoke = context.plan.experiment.training(context.family).smoke
    described = front_matter(context.plan.card, context.plan.version, result, model, pictures)
    steps = context.plan.experiment.evaluate.extractor_steps
    card = model_card(context.plan.card, result, smoke=smoke, extractor_steps=steps)
    context.attempt.write_text("README.md", described + card)
    return ExportResult(exported=context.family)


def write_samples(
    context: Context, model: ModelConfig, result: FamilyResult, weights: str
) -> dict[str, str | None]:
    """Write the published samples with what they are drawn from; return pictures of some: file -> caption."""
    from components.data.dataset import open_split  # imports PyTorch, which plans do without
    from components.sampling import published, sheets

    settings, card = context.plan.experiment.training(context.family), DataSpec.from_json(model.card)
    data = context.store.local_copy(f"{context.uri('prepare')}/data")
    captions = context.store.local_copy(context.uri("captions")) if card.text else None
    split = open_split(Path(data), published.SPLIT, captions, sources=card.source is not None)
    rows, fixed = published.fixed_conditions(model, split, settings.sample_images)
    titles = [split.captions[i] for i in rows] if card.text and split.captions else None
    record = PublishedSamples(
        n=len(rows),
        seed=derive(settings.seed, "grid"),
        threads=settings.torch_threads,
        batch=settings.chunk,
        captions=titles,
    )
    sheet = sheets.decode_webp(context.store.read_bytes(f"{result.samples}"), card.channels)
    images = sheets.ungrid(sheet, card.resolution, record.n)
    names = published.write(context.attempt, model, record, fixed, images, weights)
    if titles is None and TASKS[result.task].made_from != "noise":
        return dict.fromkeys(names)
    labels = fixed.get("labels")
    of_class = [model.labels[k] for k in labels] if labels is not None and model.labels else None
    texts: list[str | None] = [*(titles or of_class or [None] * len(names))]
    return dict(zip(names, texts, strict=False))


STAGE = Stage("export", "family", spec, run, on_cluster=False)
