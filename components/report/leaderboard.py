"""The leaderboard, the comparability of metrics, and the verdict. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from components.common.ranking import ranking_metric
from components.evaluation.comparability import difference
from components.families.tasks import DEFAULT, TASKS
from components.records.evaluation import BACKWARD, MetricResult, Metrics
from components.records.run import ResultHead
from components.report import baselines, formatting
from components.report.metric_labels import (
    MEASURES,
    PERCENT,
    limit,
    main,
    mark,
    measure,
    noted,
    recipe,
    summary,
)

Result = TypeVar("Result", bound=ResultHead)


class Cost(NamedTuple):
    """A column with a cost of families."""

    label: str
    meaning: str
    show: Callable[[Any], str]


class Column(NamedTuple):
    """A column of metrics."""

    name: str
    label: str
    better: str
    meaning: str
    bound: str
    recipe: str
    limit: str
    note: str | None
    main: bool


class Cell(NamedTuple):
    """A number of a family; `why_not` is the reason if it cannot be compared with the others."""

    text: str
    sort: float | None = None
    interval: str = ""
    real_baseline: str = ""
    bound: str = ""
    detail: Sequence[tuple[str, str]] = ()
    best: bool = False
    why_not: str | None = None


class Line(NamedTuple):
    """A family's row."""

    family: str
    paper: str
    cells: list[Cell]
    costs: list[Cell]
    unbeaten: str = ""  # the baselines that it does not beat in the first column
    unlike: str = ""  # why its samples are not near real images
    is_baseline: bool = False


class Refusal(NamedTuple):
    """The doubts about the numbers of a family."""

    family: str
    sentence: str


class Group(NamedTuple):
    """The leaderboard of a task."""

    task: str
    title: str
    meaning: str
    columns: list[Column]
    recipe: str  # of most columns
    costs: list[Cost]
    rows: list[Line]
    baselines: list[Line]
    refused: list[Refusal]
    shortcomings: list[Refusal]  # in what families do not beat their baselines
    copies: list[Refusal]  # of training images, which families seem to draw
    crowded: list[Refusal]  # families with more precision or density than real images

    @property
    def fair(self) -> list[Line]:
        """The rows with a comparable first metric, best first."""
        rows = self.rows if self.columns else []
        return [row for row in rows if row.cells[0].sort is not None and not row.cells[0].why_not]


COSTS = {
    "parameters": Cost("Parameters", "Trainable parameters of the exported generator.", formatting.count),
    "train_seconds": Cost("Training", "Seconds of training, wall time.", formatting.duration),
    "samples_per_second": Cost("Samples/s", "Images sampled per second on this machine.", formatting.number),
}


def metric_names(results: Sequence[Metrics]) -> list[str]:
    """Return all metrics of `results`, the one that ranks first, those with a warning last."""
    names = {name for metrics in results for name in metrics}
    order = [*MEASURES, *(f"{BACKWARD}{name}" for name in MEASURES)]
    ordered = [name for name in order if name in names] + sorted(names - set(order))
    first, last = ranking_metric(results), noted(results)
    return sorted(ordered, key=lambda name: (name != first, name in last))


def most_common_recipe(metrics: Sequence[MetricResult]) -> MetricResult | None:
    """Return the metric the others are compared with: the first of the most frequent recipe."""
    if not metrics:
        return None
    most, _ = Counter(m.comparability for m in metrics).most_common(1)[0]
    return next(m for m in metrics if m.comparability == most)


def by_task(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each task, in the order of the page."""
    tasks = dict.fromkeys([*TASKS, *(r.task or DEFAULT for r in results)])
    groups = {task: [r for r in results if (r.task or DEFAULT) == task] for task in tasks}
    return {task: rows for task, rows in groups.items() if rows}


def title(task: str) -> str:
    """Return the heading of a task."""
    return TASKS[task].title if task in TASKS else task.capitalize()


def groups(results: Sequence[ResultHead]) -> list[Group]:
    """Return a leaderboard per task."""
    return [_group(task, rows) for task, rows in by_task(results).items()]


def _group(task: str, results: Sequence[ResultHead]) -> Group:
    metrics = [result.metrics for result in results]
    names, notes = metric_names(metrics), noted(metrics)
    main_names = main(names, set(notes))
    references = {name: most_common_recipe([m[name] for m in metrics if name in m]) for name in names}
    unlike = {result.family: baselines.unlike_real(result) for result in results}
    leading = {name: {r.family for r in results if baselines.may_lead(r, name)} for name in names}
    leaders = {
        name: _best(
            metrics, [r.metrics for r in results if r.family in leading[name]], name, references[name]
        )
        for name in names
    }
    rows = [
        Line(
            result.family,
            result.paper,
            [
                _cell(
                    result.metrics.get(n),
                    n,
                    references[n],
                    leaders[n] if result.family in leading[n] else None,
                )
                for n in names
            ],
            [Cell(cost.show(getattr(result, k)), getattr(result, k)) for k, cost in COSTS.items()],
            formatting.listing(baselines.unbeaten(result, names[0]), "or") if names else "",
            unlike[result.family],
        )
        for result in ranked(results, names, references)
    ]
    beside = [
        Line(
            label,
            "",
            [_cell(baseline.metrics.get(name), name, references[name], None) for name in names],
            [Cell("")] * len(COSTS),
            is_baseline=True,
        )
        for label, baseline in baselines.distinct(results)
    ]
    columns = [_column(name, references[name], notes.get(name), name in main_names) for name in names]
    common, _ = Counter(column.recipe for column in columns).most_common(1)[0] if columns else ("", 0)
    return Group(
        task,
        title(task),
        TASKS[task].description if task in TASKS else "",
        columns,
        common,
        list(COSTS.values()),
        rows,
        beside,
        [refusal for row in rows for refusal in _refusals(row, columns)],
        [Refusal(r.family, why) for r in results if (why := baselines.shortcomings(r, names))],
        [Refusal(r.family, why) for r in results if (why := baselines.copies(r.metrics))],
        [Refusal(r.family, why) for r in results if (why := baselines.crowded(r.metrics))],
    )


def _refusals(row: Line, columns: Sequence[Column]) -> list[Refusal]:
    """Return why metrics of a family cannot be compared, one sentence for each reason."""
    labels: dict[str, list[str]] = {}
    for cell, column in zip(row.cells, columns, strict=True):
        if cell.why_not:
            labels.setdefault(cell.why_not, []).append(column.label)
    return [
        Refusal(
            row.family,
            f"{formatting.listing(names)} {'is' if len(names) == 1 else 'are'} not comparable "
            f"with the others: {reason}.",
        )
        for reason, names in labels.items()
    ]


def ranked(
    results: Sequence[ResultHead], names: Sequence[str], references: Mapping[str, MetricResult | None]
) -> list[ResultHead]:
    """Return `results`, best first by the first metric; those without a comparable one last."""

    def place(result: ResultHead) -> tuple[int, float]:
        metric = result.metrics.get(names[0]) if names else None
        reference = references[names[0]] if names else None
        if metric is None or reference is None:
            return 2, 0.0
        sign = -1 if measure(names[0], metric).better == "higher" else 1
        return int(difference(metric, reference) is not None), sign * metric.value

    return sorted(results, key=place)


def _best(
    results: Sequence[Metrics], leading: Sequence[Metrics], name: str, reference: MetricResult | None
) -> float | None:
    """Return the best comparable value of those that may lead.

    None if fewer than two compare, or if another one looks the same.
    """

    def comparable(results: Sequence[Metrics]) -> list[float]:
        metrics = [metrics[name] for metrics in results if name in metrics]
        return [m.value for m in metrics if reference and difference(m, reference) is None]

    values, every, definition = comparable(leading), comparable(results), measure(name, reference)
    if len(every) < 2 or not values:
        return None
    best = max(values) if definition.better == "higher" else min(values)
    alike = [value for value in every if definition.show(value) == definition.show(best)]
    return best if len(alike) == 1 else None


def _column(name: str, reference: MetricResult | None, note: str | None, main: bool) -> Column:
    definition = measure(name, reference)
    return Column(
        name,
        definition.label,
        definition.better,
        definition.meaning,
        definition.bound,
        summary(reference),
        limit(definition, reference),
        note,
        main,
    )


def _cell(
    metric: MetricResult | None, name: str, reference: MetricResult | None, leader: float | None
) -> Cell:
    if metric is None or reference is None:
        return Cell(formatting.NONE)
    definition, why = measure(name, metric), difference(metric, reference)
    real_baseline = "" if metric.real_baseline is None else definition.show_limit(metric.real_baseline)
    interval = definition.show_interval(metric.low, metric.high)
    lines = [
        ("interval", interval),
        (definition.bound, real_baseline),
        *recipe(metric),
        ("beware", metric.note or ""),
    ]
    return Cell(
        f"{definition.show(metric.value)}{mark(metric)}",
        metric.value,
        interval.removesuffix(PERCENT),  # shown below the value, which has the unit
        real_baseline,
        definition.bound,
        [(k, v) for k, v in lines if v],
        best=why is None and metric.value == leader,
        why_not=why,
    )


def verdict(status: str, results: Sequence[ResultHead], families: int, failed: Sequence[str]) -> str:
    """Return the outcome in a sentence or two: how many families finished, and which one leads."""
    done = len({result.family for result in results})
    if status == "running":
        opening = f"Still running: {done} of {families} families evaluated so far."
    elif failed:
        opening = f"{done} of {families} families finished; {formatting.listing(list(failed))} failed."
    elif status in ("failed", "interrupted"):
        ended = "was interrupted" if status == "interrupted" else "failed"
        opening = f"The run {ended} with {done} of {families} families evaluated."
    elif families > 1:
        opening = f"All {families} families finished."
    else:
        opening = "The family finished." if families else "Nothing was trained."
    return " ".join([opening, *filter(None, map(_leader, groups(results)))])


def leaders(results: Sequence[ResultHead]) -> list[Mapping[str, Any]]:
    """Return the first comparable result of each task: family, metric and value.

    One that is not near real images comes only if all are not, and says why in `unlike`.
    """
    return [
        {"family": first.family, "metric": group.columns[0].name, "value": first.cells[0].sort}
        | ({"note": note} if (note := group.columns[0].note) else {})
        | ({"unlike": first.unlike} if first.unlike else {})
        for group in groups(results)
        for first in sorted(group.fair, key=lambda row: bool(row.unlike))[:1]
    ]


def _leader(group: Group) -> str:
    """Return which family leads a task by its first metric, as a sentence."""
    if not (fair := group.fair):
        return ""
    unlike = [row for row in fair if row.unlike]
    if len(unlike) == len(fair):
        subject = f"{fair[0].family} is not" if len(fair) == 1 else "no family is"
        return f"{group.title}: {subject} near real images yet ({fair[0].family}: {fair[0].unlike})."
    fair = [row for row in fair if not row.unlike]
    first = fair[0].cells[0]
    bound = f" ({first.bound} {first.real_baseline})" if first.real_baseline else ""
    reached = f"{group.columns[0].label} {first.text}{bound}"
    but = f", but does not beat {fair[0].unbeaten}" if fair[0].unbeaten else ""
    if len(fair) == 1:
        return f"{group.title}: {fair[0].family} reaches {reached}{but}."
    second = f"{fair[1].family} with {fair[1].cells[0].text}"
    return f"{group.title}: {fair[0].family} leads with {reached}, ahead of {second}{but}."
