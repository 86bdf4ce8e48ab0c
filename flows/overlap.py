"""Keep runs of a schedule from overlapping, beyond Prefect's limit, which a restarted server may forget.

Two belts: a lease in the store, which needs no server, and a look at the other runs of the deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Completed

from components.store import Store
from components.store.lease import Lease, lease

SKIPPED, UNCHANGED = "Skipped", "Unchanged"  # names of Prefect states of type Completed
MOST = 200  # flow runs that are looked at; Prefect answers with no more at once


class Skip(Exception):
    """The run is not to be made; the message says why."""


@contextmanager
def alone(store: Store, schedule: str) -> Iterator[Lease]:
    """Hold the lease of a schedule for the block.

    Waits until the lease of a killed run has expired.

    Raises:
        Skip: another run of the schedule holds it, and its heart beats.
    """

    def refuse() -> None:
        raise Skip(f"an earlier run of schedule {schedule} is still working (its lease in the store is held)")

    with lease(store, f"schedule-{schedule}", on_alive=refuse) as held:
        yield held


def check_late(due: datetime | None, max_late: float | None) -> None:
    """Raise Skip if a run begins more than `max_late` minutes after it was due."""
    if due is None or max_late is None:
        return
    late = datetime.now(UTC) - due
    if late > timedelta(minutes=max_late):
        raise Skip(
            f"it was due at {due:%Y-%m-%d %H:%M} UTC and begins {late.total_seconds() / 60:.0f} minutes "
            f"late, more than the {max_late:g} of --max-late"
        )


def stand_for_latest(deployment: UUID, own: UUID, due: datetime) -> int:
    """Let one of the runs that are due do the work; return the number of others that need not begin.

    After a server or machine was down, several dates are due at once. The first run that begins takes the
    place of the latest: the work is on the newest data in any case. The others that wait end as Skipped. (The
    limit CANCEL_NEW cancels them while this run holds the slot, so leaving the work to them could lose it.)

    Raises:
        Skip: a run of a later date works or has worked.
    """
    with get_client(sync_client=True) as client:
        others = [run for run in _due(client, deployment) if run.id != own]
        if later := _later(others, due):
            when = f"{later.expected_start_time:%Y-%m-%d %H:%M}"
            raise Skip(f"the run of a later date, {when} UTC, {_doing(later)} (flow run {later.name})")
        waiting = [run for run in others if run.state and run.state.is_scheduled()]
        reason = f"several dates were due at once; the run of {due:%Y-%m-%d %H:%M} UTC works for all of them"
        for run in waiting:
            client.set_flow_run_state(run.id, Completed(name=SKIPPED, message=reason))
    return len(waiting)


def _due(client: SyncPrefectClient, deployment: UUID) -> Sequence[FlowRun]:
    """Return the newest runs of a deployment that should have begun by now, newest first."""
    due = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    return client.read_flow_runs(flow_run_filter=due, limit=MOST, sort=FlowRunSort.EXPECTED_START_TIME_DESC)


def _later(runs: Sequence[FlowRun], due: datetime) -> FlowRun | None:
    """Return a run of a later date that works or has worked."""
    for run in runs:
        if run.expected_start_time and run.state and run.expected_start_time > due:
            worked = run.state.is_completed() and run.state.name != SKIPPED
            if run.state.is_running() or run.state.is_pending() or worked:
                return run
    return None


def _doing(run: FlowRun) -> str:
    assert run.state
    return "has worked already" if run.state.is_completed() else "is under way"
