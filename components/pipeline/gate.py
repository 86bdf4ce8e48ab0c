"""Stage `gate`: judge the result of each family against the champion of its data set and task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.cluster import ray_cluster
from components.common.errors import InputError
from components.common.hashing import key_of
from components.common.ranking import rank_by
from components.evaluation.comparability import difference
from components.evaluation.gate import Contender, best_first, judge
from components.evaluation.requests import ReproduceRequest
from components.families.catalogue import description_of
from components.pipeline import champion as champion_stage
from components.pipeline import evaluate, train
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.evaluation import MetricResult, Metrics
from components.records.gate import (
    TOLERANCE,
    Champion,
    Judgement,
    ModelFile,
    ModelReference,
    Reason,
    Reproduction,
    Verdict,
)
from components.records.stages import ConfirmationResult, GateResult
from components.records.training import TrainingResult
from components.registry import champions, seeds
from components.registry.champions import Overtaken
from components.registry.decisions import decision
from components.registry.seeds import SeedResult
from components.stages import cache
from components.stages.code_digest import code
from components.stages.spec import Spec

INPUTS = ("train", "evaluate", "export", "confirmation")


def spec(plan: Plan, keys: Mapping[str, str], failed: Mapping[str, str]) -> Spec:
    """Return the spec: the settings of the gate, and the exported families with their evaluations.

    The champion is no part of it: a result is judged once, against the champion of that moment.
    """
    exported = [family for family in plan.experiment.families if f"export/{family}" in keys]
    names = [f"{stage}/{family}" for family in exported for stage in INPUTS]
    upstream = {name: keys[name] for name in names if name in keys}
    digests = code(
        "components.pipeline.gate", "components.evaluation.gate", "components.evaluation.reproduce"
    )
    return plan.spec("gate", plan.experiment.gate.model_dump(), digests, upstream)


@dataclass(frozen=True)
class Challenger:
    """The result of a family, as the gate judges it."""

    data_set: str
    task: str
    model: ModelReference
    metrics: Metrics
    training: TrainingResult
    identity: str  # of the training without its seed
    drawn: Reproduction


def run(context: Context) -> GateResult:
    """Judge the families of each task, best first, so that each meets the champion that stands by then."""
    families = [n.removeprefix("export/") for n in context.spec.upstream if n.startswith("export/")]
    judgements: list[Judgement] = []
    for task in dict.fromkeys(description_of(family)["task"] for family in families):
        rivals = {f: metrics_of(context, f) for f in families if description_of(f)["task"] == task}
        judgements += [decide(context, challenger(context, family)) for family in best_first(rivals)]
    entries = [
        f"registry/{j.data_set}/{j.task}/{champions.CHAMPIONS}/{j.number}.json"
        for j in judgements
        if j.number
    ]
    return GateResult(judgements=judgements, elsewhere=entries)


def metrics_of(context: Context, family: str) -> Metrics:
    """Return the metrics of a family's result."""
    return evaluate.result(context.store, context.results[f"evaluate/{family}"]).metrics


def challenger(context: Context, family: str) -> Challenger:
    """Return the result of a family, after its exported model has drawn its samples again."""
    store, done = context.store, context.results[f"export/{family}"]
    files = [ModelFile(**file) for file in cache.read(store, done)["files"]]
    model = ModelReference(run_id=context.run_id, family=family, folder=done.uri, files=files)
    result = Challenger(
        context.plan.card.name,
        description_of(family)["task"],
        model,
        metrics_of(context, family),
        train.result(store, context.results[f"train/{family}"]),
        training_without_seed(context.plan, family),
        reproduction(context, family),
    )
    record_seeds(context, result)
    return result


def training_without_seed(plan: Plan, family: str) -> str:
    """Return what identifies a family's training but for its seed."""
    canonical = dict(train.spec(plan, family).canonical())
    settings = dict(canonical["settings"])
    settings["train"] = {name: value for name, value in settings["train"].items() if name != "seed"}
    return key_of(canonical | {"settings": settings})


def record_seeds(context: Context, result: Challenger) -> None:
    """Record the metrics of this training, and those that a sweep's confirmation has of other seeds."""
    store, family, name = context.store, result.model.family, rank_by(result.metrics)
    where = result.data_set, result.task, result.identity
    own = SeedResult(
        seed=context.plan.experiment.training(family).seed, run_id=context.run_id, metrics=result.metrics
    )
    seeds.record(store, *where, context.results[f"evaluate/{family}"].key, own)
    if (confirmed := context.results.get(f"confirmation/{family}")) is None:
        return
    confirmation = context.read(confirmed.stage + "/" + family, ConfirmationResult).confirmation
    metric = result.metrics[name]
    if (confirmation.metric, confirmation.n, confirmation.split) != (name, metric.n, metric.split):
        return
    for seed, value in zip(confirmation.seeds, confirmation.winner, strict=True):
        if value is not None:
            of_seed = {name: metric.model_copy(update={"value": value, "low": None, "high": None})}
            other = SeedResult(seed=seed, run_id=context.run_id, metrics=of_seed)
            seeds.record(store, *where, f"{confirmed.key}-{seed}", other)


def reproduction(context: Context, family: str) -> Reproduction:
    """Load the exported model on a worker and draw its published samples again."""
    request = ReproduceRequest(context.store, context.uri(f"export/{family}"), context.plan.device)
    job, cpus = (
        "components.evaluation.reproduce:reproduce",
        context.plan.experiment.training(family).torch_threads,
    )
    result: Reproduction = ray_cluster.call(job, request, cpus=cpus, gpus=context.gpus)
    return result


def exported(drawn: Reproduction) -> Verdict:
    """Return the verdict on an exported model."""
    if drawn.error is not None or drawn.difference is None:
        return Verdict(reasons=[Reason(rule="loads", passed=False, text=f"it cannot be used: {drawn.error}")])
    images = f"its {drawn.images} published samples"
    if drawn.difference == 0:
        text, passed = f"draws {images} again, bit for bit", True
    else:
        passed = drawn.difference <= TOLERANCE
        how = "again" if passed else "differently"
        text = f"draws {images} {how}: {drawn.difference:.2g} of 255 levels apart"
    loads = Reason(rule="loads", passed=True, text="loads from its folder alone")
    return Verdict(reasons=[loads, Reason(rule="samples", passed=passed, text=text)])


def decide(context: Context, result: Challenger) -> Judgement:
    """Judge a result and promote it if it is blessed; again if another run's promotion was faster."""
    while True:
        now = champions.current(context.store, result.data_set, result.task)
        if now and now.model.weights == result.model.weights:  # an interrupted or forced gate
            champions.publish_current(context.store, result.data_set, result.task)
            return now.judgement.model_copy(update={"number": now.number})
        try:
            return enacted(context, judgement(context, result, now), now)
        except Overtaken:
            continue


def judgement(context: Context, result: Challenger, now: Champion | None) -> Judgement:
    """Return the judgement of a result against the champion, which is evaluated again if need be."""
    store, where, name = context.store, (result.data_set, result.task), rank_by(result.metrics)
    like, standing, problem, why = result.metrics[name], None, None, None
    if now is not None:
        metrics, why, problem = comparable_metrics(context, now, result.metrics)
        values = seeds.values(store, *where, now.judgement.training, name, like)
        standing = Contender(f"champion {now.number} ({now.model.address})", metrics, values)
    values = seeds.values(store, *where, result.identity, name, like)
    health, selected = result.training.health, result.training.checkpoints.get(result.training.kept)
    verdict, margin = judge(
        Contender(result.model.address, result.metrics, values),
        standing,
        context.plan.experiment.gate,
        events=health.events if health else (),
        exported_step=selected.step if selected else None,
        decided=champions.decided_against(store, *where, result.model.weights),
    )
    if problem:
        verdict.reasons.append(Reason(rule="champion", passed=False, text=problem))
    return Judgement(
        data_set=result.data_set,
        task=result.task,
        data=context.plan.version,
        model=result.model,
        champion=now.number if now else 0,
        against=now.model.address if now else None,
        reevaluated=why,
        margin=margin,
        quality=verdict,
        export=exported(result.drawn),
        metrics=result.metrics,
        training=result.identity,
        drawn=result.drawn,
    )


def comparable_metrics(
    context: Context, now: Champion, ours: Metrics
) -> tuple[Metrics, str | None, str | None]:
    """Return the champion's metrics, why it was evaluated again, and why it could not be."""
    name, recorded = rank_by(ours), now.judgement.metrics
    if name not in recorded:
        reason = f"{name} was not measured"
    elif not (reason := difference(ours[name], recorded[name]) or lacks_interval(ours[name], recorded[name])):
        return recorded, None, None
    try:
        return champion_stage.metrics(context, now), reason, None
    except InputError as error:
        return recorded, None, str(error)


def lacks_interval(ours: MetricResult, recorded: MetricResult) -> str:
    """Return that a champion's value has no interval while the challenger's has one; else nothing."""
    lacks = recorded.low is None and ours.low is not None
    return "no interval then, as the test split was thought too small" if lacks else ""


def enacted(context: Context, judged: Judgement, now: Champion | None) -> Judgement:
    """Promote a blessed result, or let it wait for a person, as the settings say; return its judgement.

    Raises:
        Overtaken: another process has promoted a model meanwhile.
    """
    gate, store = context.plan.experiment.gate, context.store
    if not judged.is_blessed or gate.review == "never":
        return judged
    if gate.review == "manual":
        expires = datetime.now(UTC) + timedelta(days=gate.review_days)
        judged.expires = expires.isoformat(timespec="seconds")
        champions.request_review(store, judged)
        return judged
    judged.number = (now.number if now else 0) + 1
    because = judged.quality.reasons[0].text
    decided = decision(f"blessed: {because}", who=f"the gate of run {context.run_id}")
    champions.append(store, Champion(number=judged.number, judgement=judged, **decided))
    return judged


STAGE = Stage("gate", "run", spec, run)
