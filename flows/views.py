"""Print the plan and the results of runs, as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice, tee
from typing import Any

from rich.console import Console
from rich.table import Table

from components.cluster import resources
from components.common.paths import home
from components.common.ranking import first_to_last, ranking_metric
from components.config.experiment import Experiment
from components.data.versioning import pins
from components.families.tasks import TASKS
from components.pipeline import anomaly_models, proportion, train
from components.pipeline.expected import Estimates, disk, forecast
from components.pipeline.graph import of_scope, planned
from components.pipeline.plan import Plan
from components.records.ablation import AblationResult
from components.records.evaluation import ExternalEvaluation, MetricResult
from components.records.gate import BLESSED, NOT_BLESSED, PENDING, Judgement
from components.records.run import FamilyResult, RunManifest, RunSummary, StageEntry
from components.records.scheduled import schedule_of
from components.records.synthetic import Accuracy, SyntheticEvaluation
from components.registry.runs import newest_first
from components.report.ablation import better_settings
from components.report.baselines import copies, distinct, unlike_real
from components.report.judging import recognises_few
from components.report.metric_labels import MARK, mark, measure, noted
from components.report.reading import read_json
from components.report.results import folder_of
from components.stages.spec import Spec, difference
from components.store import Store, open_store
from components.store.urls import is_confined
from flows import tables
from flows.ranking import best_first, best_of
from flows.setup import check_stages, plan_of
from flows.tables import output, print_table

FOR_INTERVALS = 60  # images, ROWS * GROUPS of components.metrics.distances, which imports SciPy
RECENT = 50  # runs, the newest, among which the nearest one is looked for

STYLES = {BLESSED: "green", PENDING: "yellow", NOT_BLESSED: "dim"}  # of verdicts


def show_plan(
    experiment: Experiment, force: Collection[str], *, stated: str = "", as_json: bool = False
) -> None:
    """Print which stages would run and which are cached, and what they are expected to take.

    If there is no earlier result to scale, that is `stated`, which the config says.
    """
    check_stages(force)
    store = open_store(experiment.store.url, home())
    plan = plan_of(experiment, store)
    rows = plan_rows(experiment, plan, store, force)
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        upstream = f"; builds on {', '.join(row['after'])}" if row.get("after") else ""
        print(f"{row['stage']:<22} {row['key'] or '':<18} {row['because']}{upstream}")
    running = [(row["stage"], row.get("seconds")) for row in rows if row["because"].startswith("runs")]
    estimates = Estimates(plan, store) if plan else None
    overhead = estimates.overhead if estimates else 0.0
    side_by_side = resources.concurrent_trainings(experiment)
    expected = forecast(running, side_by_side, overhead, smoke=experiment.smoke)
    for sentence in expected.sentences:
        print(sentence)
    if stated and expected.unknown and not experiment.smoke:
        print(stated)
    for sentence in data_changed(plan, store) if plan and running else ():
        print(sentence)
    if plan and estimates and running:
        stages = {stage for stage, _ in running}
        specs = [spec for _, spec in planned(plan).values() if spec.title in stages]
        space = disk(estimates.bytes(specs), partial=bool(expected.unknown))
        for sentence in [*space, *proportion.of_run(plan, stages), *train.advice(plan, store)]:
            print(sentence)


def plan_rows(
    experiment: Experiment, plan: Plan | None, store: Store, force: Collection[str]
) -> list[Mapping[str, Any]]:
    """Return the stages of an experiment, each with its key and the reason why it would run or not."""
    from flows.run import explain  # imports Prefect

    if plan is None:
        because = "runs: the data is not prepared yet"
        return [{"stage": title, "key": None, "because": because} for title in unplanned(experiment)]
    anomaly_models.check(plan)
    estimates, specs = Estimates(plan, store), [spec for _, spec in planned(plan).values()]
    reasons = {
        spec.key: explain(store, spec, forced=spec.stage in force, smoke=experiment.smoke) for spec in specs
    }
    runs = {spec.key for spec in specs if reasons[spec.key].startswith("runs") and spec.stage not in force}
    for key, run_id in (under_way(store) if runs else {}).items():
        if key in runs:
            reasons[key] = f"runs: run {run_id} is at it, and a run that begins now waits for its result"
    return [
        {
            "stage": spec.title,
            "key": spec.key,
            "because": reasons[spec.key],
            "seconds": estimates.seconds(spec),
            "after": after(spec),
        }
        for spec in specs
    ]


def under_way(store: Store) -> dict[str, str]:
    """Return the runs that are running, by the keys of the stages that they have begun and not finished."""
    runs = newest_first(store, RunSummary, most=RECENT)
    return {
        stage.key: run.run_id
        for run in runs
        if run.standing == "running"
        for stage in run.stages
        if stage.key and stage.state == "running"
    }


def unplanned(experiment: Experiment) -> list[str]:
    """Return the titles of the stages that every run has; others depend on the data."""
    data, family, run = (
        [stage.name for stage in of_scope(scope) if stage.is_in_every_run]
        for scope in ("data", "family", "run")
    )
    return [*data, *(f"{name} {each}" for each in experiment.families for name in family), *run]


def after(spec: Spec) -> list[str]:
    """Return the other families whose trained models a stage builds on."""
    upstream = (name.partition("train/")[2] for name in spec.upstream)
    return [family for family in upstream if family not in ("", spec.family)] if spec.family else []


def data_changed(plan: Plan, store: Store) -> list[str]:
    """Return a sentence if the newest run on the data set had another version; none if there is no such run.

    Smoke runs do not count, since no result is compared with theirs.
    """
    for run in newest_first(store, RunManifest, most=RECENT):
        data = run.lineage.data
        if run.smoke or data.name != plan.card.name or data.version is None:
            continue
        if data.version == plan.version:
            return []
        rows = pins.versions(home(), data.name)
        since = next((f", since {moment(row)}" for row in rows if row["version"] == plan.version), "")
        return [
            f"data set {data.name} is at another version than in its newest run: {plan.version[:10]}{since}; "
            f"run {run.run_id} had {data.version[:10]}"
        ]
    return []


def images_changed(store: Store, run: RunManifest) -> str:
    """Return how many images the data had in the run before and has now; empty if it has not changed."""
    now = run.lineage.data
    for other in newest_first(store, RunManifest, before=run.run_id, most=RECENT):
        data = other.lineage.data
        if data.name == now.name and data.counts and not other.smoke:
            images = f"{sum(data.counts.values()):,} -> {sum(now.counts.values()):,} images"
            return "" if data.version == now.version else f"data set {now.name}: {images}"
    return ""


def moment(version: Mapping[str, Any]) -> str:
    """Return the time of a version of the data, to the minute, in UTC."""
    return f"{datetime.fromisoformat(version['when']).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def explanation(store: Store, run: RunManifest) -> list[tuple[str, str, str]]:
    """Return title, state and reason of each stage of a run.

    The reason is the difference from the nearest earlier run with the stage on the same data set, of a smoke
    run from a smoke run: the newest of its schedule, else of its settings, else the newest.
    """
    every = newest_first(store, RunManifest, before=run.run_id)
    name = run.lineage.data.name
    older: Iterator[RunManifest] = (other for other in every if other.lineage.data.name == name)
    recent = sorted(islice(older, RECENT), key=partial(_distance, run))
    rows = []
    for stage in run.stages:
        if stage.state == "cached":
            reason = f"done by run {stage.cached_from}, nothing it depends on changed"
        else:
            older, others = tee(older)  # each run is read once
            reason = stage.error or _changes(store, stage, chain(recent, others), run)
        if upstream := run.builds_on(stage):
            reason += f"; builds on {', '.join(upstream)}"
        rows.append((stage.title, stage.state, reason))
    return rows


def _distance(run: RunManifest, other: RunManifest) -> int:
    """Return how far an earlier run is from what a run repeats: 0 if both are of one schedule."""
    schedule = schedule_of(run.command)
    if schedule and schedule_of(other.command) == schedule:
        return 0
    return 1 if other.lineage.config == run.lineage.config else 2


def _changes(store: Store, stage: StageEntry, earlier: Iterable[RunManifest], of: RunManifest) -> str:
    for run in earlier:
        before = run.stage(stage.name, stage.family) if run.smoke == of.smoke else None
        if before and before.cached_from == of.run_id:
            continue  # it ran at the same time and waited for this result
        if before and (old := _spec(store, before)):
            if before.key == stage.key:
                return f"the same key as in run {run.run_id}: forced, or that run did not finish it"
            return "; ".join(difference(old, _spec(store, stage)))
    return f"never done before on {of.lineage.data.name}" if of.lineage.data.name else "never done before"


def _spec(store: Store, stage: StageEntry) -> Mapping[str, Any]:
    """Return the spec of a recorded stage; empty if it cannot be read."""
    return read_json(store, f"{stage.uri}/spec.json") if is_confined(stage.uri) else {}


def summary(run: RunManifest) -> Mapping[str, Any]:
    """Return the output of `atelier run --json`: the run, its stages and its results."""
    content = run.to_json()
    fields = ("name", "family", "key", "state", "seconds")
    results = ("family", "metrics", "parameters", "train_seconds", "images_seen", "samples_per_second")
    return {
        **{name: content[name] for name in ("run_id", "status", "report", "seconds")},
        "manifest": f"runs/{run.run_id}/run.json",
        "stages": [{name: stage[name] for name in fields} for stage in content["stages"]],
        "results": [{name: result[name] for name in results} for result in content["results"]],
        "verdicts": [
            {
                "family": judgement.model.family,
                "task": judgement.task,
                "verdict": judgement.word,
                "champion": judgement.number,
                "failed": judgement.failed,
                "expires": judgement.expires,
            }
            for judgement in run.gate
        ],
    }


def show(run: RunManifest, store: Store) -> None:
    """Print the results of a run as tables, its failures, and the address of its page."""
    console = output()
    data = run.lineage.data
    for task in dict.fromkeys(result.task for result in run.results):
        results = [result for result in run.results if result.task == task]
        smoke = " (smoke run: its numbers mean nothing)" if run.smoke else ""
        title = f"{data.title or data.name}: {TASKS[task].title.lower()}{smoke}"
        print_table(console, _results(task, results, title))
        notes = noted(result.metrics for result in results)
        _show_notes(console, {name: notes[name] for name in columns_of(task, results) if name in notes})
        for result in results:
            if why := unlike_real(result):
                console.print(f"{result.family} is not near real images: {why}", style="yellow", markup=False)
            if copied := copies(result.metrics):
                console.print(f"{result.family}: {copied}", style="yellow", markup=False)
            if better := _better_settings(store, run, result.family):
                console.print(f"better settings of sampling: {better}", markup=False, soft_wrap=True)
    if doubt := recognises_few(*(result.judge_accuracy for result in run.results)):
        console.print(doubt, style="yellow", markup=False, soft_wrap=True)
    if run.status == "done" and not any(stage.state == "ran" for stage in run.stages):
        console.print("Nothing to do: every stage is cached, since nothing it depends on has changed.")
    for judgement in run.gate:
        console.print(verdict(judgement), style=STYLES[judgement.word], markup=False, soft_wrap=True)
    for stage in run.failed:
        console.print(f"failed: {stage.title}: {stage.error}", style="red", markup=False)
    page = f"{store.url}/{run.report}" if run.report else "none"
    console.print(f"{run.status} in {run.seconds or 0:.0f} s; page: {page}", markup=False, soft_wrap=True)
    if command := next_command(run):
        console.print(f"next: {command}", markup=False, soft_wrap=True)


def _better_settings(store: Store, run: RunManifest, family: str) -> str:
    """Return which settings of sampling are clearly better than a family's own, from its ablation."""
    folder, settings = folder_of(store, run.stage("ablation", family), ""), run.lineage.families.get(family)
    record = folder and AblationResult.read(folder.read_json("result.json"))
    return better_settings(family, settings, record.studied) if record and isinstance(settings, dict) else ""


def next_command(run: RunManifest) -> str:
    """Return what to do after a run, as commands; empty if there is nothing to show."""
    if run.status == "failed":
        return "run the same command again to continue; atelier doctor checks this machine"
    if run.kind == "sweep" or not run.results:
        return "atelier report serve" if run.report else ""
    blessed = {judgement.model.family for judgement in run.gate if judgement.word == BLESSED}
    candidates = [result for result in run.results if result.family in blessed] or run.results
    alike = [result for result in candidates if result.task == candidates[0].task]
    family = best_of({result.family: result.metrics for result in alike}) or alike[0].family
    task = TASKS[alike[0].task]
    options = "-n 16" if task.made_from == "noise" else "--source FILE"
    return f"atelier report serve, or atelier sample {run.run_id} {family} {options} -o samples.png"


def verdict(judgement: Judgement) -> str:
    """Return the gate's verdict on a result as a line."""
    family, of = judgement.model.family, f"{judgement.data_set}/{judgement.task}"
    if judgement.number is not None:
        return f"{BLESSED}: {family} is champion {judgement.number} of {of}"
    if judgement.word == PENDING:
        until, run_id = (judgement.expires or "")[:10], judgement.model.run_id
        return (
            f"{PENDING}: {family} may become the champion of {of} until {until}: `atelier promote {run_id} "
            f"{family}`, or `atelier reject {run_id} {family} --reason TEXT`"
        )
    if judgement.is_blessed:
        return f"{BLESSED}: {family} of {of}, which gate.review keeps from being promoted"
    return f"{NOT_BLESSED}: {family} of {of}: {'; '.join(judgement.failed)}"


def _results(task: str, results: Sequence[FamilyResult], title: str) -> Table:
    """Return a table of the families of one task; its last rows are baselines and real images."""
    metrics = columns_of(task, results)
    table = tables.table(
        title, ["family"], ["family", *map(_label, metrics), "parameters", "training", "images/s"]
    )
    for result in best_first(results):
        values = [_value(m, result.metrics.get(m)) for m in metrics]
        seconds, speed = result.train_seconds or 0.0, result.samples_per_second or 0.0
        costs = f"{result.parameters or 0:,}", f"{seconds:.0f} s", f"{speed:,.0f}"
        table.add_row(result.family, *values, *costs)
    for label, baseline in distinct(results):
        table.add_row(label, *(_value(m, baseline.metrics.get(m)) for m in metrics), style="dim")
    limits = [next((r.metrics[m].real_baseline for r in results if m in r.metrics), None) for m in metrics]
    table.add_row(TASKS[task].real, *map(_limit, metrics, limits), style="dim")
    return table


def columns_of(task: str, results: Sequence[FamilyResult]) -> list[str]:
    """Return the metrics that the terminal shows of results of a task, the one that ranks first."""
    first = ranking_metric([result.metrics for result in results])
    names = [first, *TASKS[task].columns]
    return [name for name in dict.fromkeys(names) if any(name in result.metrics for result in results)]


def _show_notes(console: Console, notes: Mapping[str, str]) -> None:
    """Print the notes on doubtful values, whose marks are in a table."""
    for name, note in notes.items():
        line = f"{MARK.strip()} {_label(name)}: {note}"
        console.print(line, style="yellow", markup=False, soft_wrap=True)


def _label(name: str) -> str:
    return measure(name).label


def _value(name: str, metric: MetricResult | None) -> str:
    return f"{measure(name).show(metric.value)}{mark(metric)}" if metric else "-"


def _limit(name: str, value: float | None) -> str:
    return "-" if value is None else measure(name).show_limit(value)


def show_judged(evaluation: ExternalEvaluation) -> None:
    """Print the metrics of a folder as a table, with notes on their limits."""
    console = output()
    images = f"{evaluation.images:,} images"
    used = max((metric.n or 0 for metric in evaluation.metrics.values()), default=0)
    if 0 < used < evaluation.images:
        images = f"{used:,} of {images}"
    title = f"{images} of {evaluation.source} against {evaluation.data}, {evaluation.split} split"
    heads = ("metric", "value", "95 % interval", "real images", "images", "extractor", "comparability")
    table = tables.table(title, ("metric", "extractor", "comparability"), heads)
    for name in first_to_last(evaluation.metrics):
        metric = evaluation.metrics[name]
        table.add_row(
            _label(name) + mark(metric),
            measure(name).show(metric.value),
            measure(name).show_interval(metric.low, metric.high) or "-",
            _limit(name, metric.real_baseline),
            f"{metric.n:,}",
            f"{metric.extractor} {(metric.extractor_hash or '')[:8]}" if metric.extractor else "-",
            metric.comparability,
        )
    print_table(console, table)
    if 0 < used < evaluation.images:
        console.print(
            f"{used:,} images are compared: as many as the split has real ones, or others for the column of "
            "real images; values depend on the number",
            style="dim",
            markup=False,
            soft_wrap=True,
        )
    if 0 < used < FOR_INTERVALS:
        few = f"most intervals need {FOR_INTERVALS} images; here are {used}"
        console.print(few, style="dim", markup=False, soft_wrap=True)
    _show_notes(console, noted([evaluation.metrics]))
    if evaluation.summary:
        console.print(evaluation.summary, markup=False, soft_wrap=True)
    for sentence in evaluation.warnings:
        console.print(sentence, style="yellow", markup=False, soft_wrap=True)
    console.print(f"images were used {evaluation.preparation}", style="dim", markup=False)


def show_synthetic(evaluation: SyntheticEvaluation) -> None:
    """Print whether synthetic images help a classifier, for each size of real training sets."""
    console = output()
    title = f"accuracy in % on {evaluation.test_images:,} real test images of {evaluation.data}"
    table = tables.table(title, ["verdict"], ("real images", "real", "synthetic", "both", "gain", "verdict"))
    for row in evaluation.sizes:
        cells = [_percent(each) for each in (row.real, evaluation.synthetic, row.both, row.gain)]
        table.add_row(f"{row.size:,}", *cells, row.verdict)
    print_table(console, table)
    console.print(
        f"{evaluation.images:,} synthetic images of {evaluation.source}; {evaluation.seeds} trainings of "
        f"{evaluation.steps:,} steps each; 95 % intervals over test images and seeds; the gain is of both "
        "over real. The model that drew them may have been trained on more real images than these.",
        style="dim",
        markup=False,
    )


def _percent(accuracy: Accuracy) -> str:
    value = f"{100 * accuracy.value:.1f}"
    if accuracy.low is None or accuracy.high is None:
        return value
    return f"{value} ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})"
