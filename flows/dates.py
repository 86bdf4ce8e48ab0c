"""Lines of the terminal of `atelier schedule` on a date: its outcome, its results, and the next date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.sorting import FlowRunSort

from components.records.run import FamilyResult, RunManifest
from components.records.scheduled import UNCHANGED, ScheduledRun
from components.report.metric_labels import measure
from flows.ranking import ranking_value


def following(deployment: UUID, date: datetime | None = None) -> datetime | None:
    """Return the next date of a deployment, after now and `date`; None if the server has none.

    A date may begin some seconds early.
    """
    after = max(datetime.now(UTC), date or datetime.min.replace(tzinfo=UTC)) + timedelta(seconds=1)
    later = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=after),
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=later, limit=1, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
    return runs[0].expected_start_time if runs else None


def line(
    entry: ScheduledRun, run: RunManifest | None = None, later: datetime | None = None, store: str = ""
) -> str:
    """Return what became of a date, as a line; times are in UTC.

    Args:
        entry: the outcome.
        run: the record of the run that it has made, if any.
        later: the next date, if it is known.
        store: the address of the store, for that of the page.
    """
    text = entry.due or entry.began
    date = datetime.fromisoformat(text).astimezone(UTC) if text else datetime.now(UTC)
    outcome = entry.outcome if entry.outcome == UNCHANGED else f"{entry.outcome}: {entry.reason}"
    parts = [f"{date:%H:%M} UTC {outcome}"]
    if run and entry.outcome != UNCHANGED:
        parts += [result_of(result) for result in run.results]
        parts += [f"page: {store}/{run.report}"] if run.report else []
    if later:
        later = later.astimezone(UTC)
        day = "" if later.date() == date.date() else f"{later:%Y-%m-%d} "
        parts.append(f"next {day}{later:%H:%M}")
    return "; ".join(parts)


def result_of(result: FamilyResult) -> str:
    """Return a result in a few words: the metric that ranks it."""
    if (ranking := ranking_value(result.metrics)) is None:
        return f"{result.family} done"
    name, metric = ranking
    definition = measure(name, metric)
    return f"{result.family} {definition.label} {definition.show(metric.value)}"
