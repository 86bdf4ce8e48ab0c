"""Schedules as Prefect deployments: make, list, check and remove them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from prefect._vendor.croniter import CroniterBadDateError, croniter
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Schedule
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from components.common import loopback
from components.common.errors import InputError
from components.common.paths import CHECKOUT, config_path, home
from components.common.public import public, public_url
from components.common.suggestions import did_you_mean
from components.records.scheduled import CANCELLED, ScheduledRun
from flows.prefect_server import check_server
from flows.schedule import experiment_of, scheduled

GRACE = 300  # seconds in which a run that took the slot must have begun, else Prefect frees the slot
HEARTBEAT = 60  # seconds between the heartbeats of served runs, by which a dead one is noticed
MEMORY = "prefect.server.concurrency.lease_storage.memory"
FILES = "prefect.server.concurrency.lease_storage.filesystem"
ENGINE = "prefect.engine"  # in the command line of a flow run's process
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
MOST = 200  # objects that Prefect's API returns at once
PERIODS = 2  # dates without a run after which `problems` names an active schedule
Row = Mapping[str, str | bool | None]
"""A schedule of the server."""

# States of a flow run: whose date is to come, whose date has come, and of one that works.
WAITING = FlowRunFilterStateType(any_=[StateType.SCHEDULED])
BEGUN = FlowRunFilterStateType(not_any_=[StateType.SCHEDULED])
WORKING = FlowRunFilterStateType(any_=[StateType.RUNNING])
COUNTED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)  # states that hold a slot


@dataclass(frozen=True)
class Request:
    """A schedule that is to be made."""

    name: str
    config: str
    cron: str
    timezone: str
    changes: Sequence[str] = ()
    only: Sequence[str] = ()
    max_late: float | None = None  # minutes

    @classmethod
    def of(
        cls,
        config: Path,
        cron: str | None,
        timezone: str,
        name: str | None = None,
        changes: Sequence[str] = (),
        only: Sequence[str] = (),
        max_late: float | None = None,
    ) -> Request:
        """Return the request after all checks that need no server.

        Raises:
            InputError: the config, a change, the cron expression or the time zone is not accepted.
        """
        if cron is None:
            raise InputError(f'{config}: give its dates, such as --cron "0 2 * * *"')
        relative = in_project(config_path(config))
        experiment_of(relative, changes, only)
        for change in changes:
            if public(change) != change:
                raise InputError(
                    f"--set {change.partition('=')[0]}: it holds a folder or a credential, which Prefect "
                    "would store and show; write it into the config"
                )
        check_cron(cron, timezone)
        if max_late is not None and max_late <= 0:
            raise InputError(f"--max-late {max_late:g}: give minutes, more than 0")
        name = name or Path(relative).stem
        if not NAME.fullmatch(name):
            raise InputError(f"--name {name!r} is not accepted: use letters, digits, '_', '.' and '-'")
        return cls(name, relative, cron, timezone, changes, only, max_late)

    def deployment(self) -> RunnerDeployment:
        """Return the deployment: one run at a time, new ones are cancelled while it works."""
        limit = ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW, grace_period_seconds=GRACE
        )
        parameters = {"config": self.config, "changes": list(self.changes), "only": list(self.only)}
        made = scheduled.to_deployment(
            self.name,
            schedules=[Schedule(cron=self.cron, timezone=self.timezone, slug="cron")],
            concurrency_limit=limit,
            parameters=parameters | {"max_late": self.max_late},
            entrypoint_type=EntrypointType.MODULE_PATH,
            paused=False,
            tags=["atelier"],
        )
        assert isinstance(made, RunnerDeployment)
        return made


def in_project(path: Path) -> str:
    """Return the path of a config relative to the project or the checkout, which Prefect may store.

    Raises:
        InputError: it is in neither.
    """
    for folder in (home(), CHECKOUT):
        if path.resolve().is_relative_to(folder):
            return path.resolve().relative_to(folder).as_posix()
    raise InputError(
        f"{path.name} is outside of the project, {home()}: put it there; a schedule keeps its path in it"
    )


def check_cron(cron: str, timezone: str) -> None:
    """Raise InputError unless cron expression and time zone are accepted, and the expression has a date."""
    refusal = InputError(
        f"--cron {cron!r} is no cron expression; give minute, hour, day of the month, month and "
        'day of the week, such as "0 2 * * *" for 2:00 each night'
    )
    unknown = InputError(f"--timezone {timezone!r} is unknown; give a name such as Europe/Berlin or UTC")
    if not timezone:  # Prefect takes it for none
        raise unknown
    if len(cron.split()) > 5:  # Prefect takes a sixth field as seconds, where others have them first
        raise refusal
    try:
        CronSchedule(cron=cron, timezone=timezone)
        croniter(cron).get_next()
    except ValidationError as error:
        raise (unknown if error.errors()[0]["loc"] == ("timezone",) else refusal) from None
    except CroniterBadDateError:
        raise InputError(f"--cron {cron!r} never occurs: none of its months has that day") from None


def require_server() -> str:
    """Return the URL of the Prefect server.

    Raises:
        InputError: none is set, or it does not answer.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise InputError(
            "schedules need a Prefect server that keeps running: start one in the project's folder with "
            "`PREFECT_HOME=.atelier/prefect prefect server start`, and set PREFECT_API_URL, "
            "such as http://127.0.0.1:4200/api (docs/schedules.md)"
        )
    loopback.bypass_proxies()
    check_server(url)
    return str(url)


def serve(request: Request) -> None:
    """Make the deployment, and run its dates in processes of this machine until this one is interrupted.

    Then a run under way is asked to end, which leaves it resumable, and the schedule is paused.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM ended it.
    """
    require_server()
    runner = Runner(pause_on_shutdown=True, heartbeat_seconds=HEARTBEAT)
    runner.add_deployment(request.deployment())
    try:
        asyncio.run(_until_interrupted(runner))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _until_interrupted(runner: Runner) -> None:
    """Run the dates; a signal ends the runs first, then this task. Prefect's handler would kill them."""
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    assert serving is not None
    ending: list[asyncio.Task[None]] = []

    async def end() -> None:
        await asyncio.to_thread(end_runs)
        serving.cancel()

    def stop(*_: object) -> None:
        if not ending:
            ending.append(loop.create_task(end()))

    vars(runner)["handle_sigterm"] = lambda *_: loop.call_soon_threadsafe(
        stop
    )  # it installs this at its start
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        await runner.start()
    except BaseException:
        if not ending:
            raise
        # What the end raises depends on what the runner waits for, such as a server that has gone away.
        raise asyncio.CancelledError from None


def end_runs(seconds: float = 60.0) -> None:
    """Ask the flow runs that this process has started to end, and wait for them."""
    runs = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if ENGINE in " ".join(child.cmdline()):
                child.terminate()
                runs.append(child)
    psutil.wait_procs(runs, timeout=seconds)


def ship(request: Request, pool: str) -> None:
    """Make the deployment for the workers of a work pool.

    Raises:
        InputError: there is no such pool, or no server.
    """
    url = require_server()
    with get_client(sync_client=True) as client:
        pools = [each.name for each in client.read_work_pools(limit=MOST)]
    if pool not in pools:
        raise InputError(
            f"there is no work pool {pool!r} at {public_url(url)}{did_you_mean(pool, pools)}; there are: "
            f"{', '.join(pools) or 'none'}; `prefect work-pool create {pool} --type process` makes one"
        )
    request.deployment().apply(work_pool_name=pool)


def all_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return the deployments of the flow `scheduled`."""
    named = FlowFilter(name=FlowFilterName(any_=[scheduled.name]))
    return client.read_deployments(flow_filter=named, limit=MOST, sort=DeploymentSort.NAME_ASC)


def find(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """Return the deployment of a schedule.

    Raises:
        InputError: there is none of this name.
    """
    deployments = all_deployments(client)
    for deployment in deployments:
        if deployment.name == name:
            return deployment
    names = [deployment.name for deployment in deployments]
    raise InputError(
        f"there is no schedule {name!r}{did_you_mean(name, names)}; there are: {', '.join(names) or 'none'}"
    )


def rows() -> list[Row]:
    """Return the schedules of the server: what each runs, its last and its next date."""
    require_server()
    with get_client(sync_client=True) as client:
        return [_row(client, deployment) for deployment in all_deployments(client)]


def _row(client: SyncPrefectClient, deployment: DeploymentResponse) -> Row:
    crons = [item.schedule for item in deployment.schedules if isinstance(item.schedule, CronSchedule)]
    working, newest, next_ones = (runs_of(client, deployment, 1, of) for of in (WORKING, BEGUN, WAITING))
    last = next(iter([*working, *newest]), None)  # a date that works is more than one cancelled meanwhile
    following = next(iter(next_ones), None)
    return {
        "schedule": deployment.name,
        "config": deployment.parameters.get("config"),
        "cron": ", ".join(cron.cron for cron in crons) or None,
        "timezone": ", ".join(cron.timezone or "UTC" for cron in crons) or None,
        "active": is_active(deployment),
        "pool": deployment.work_pool_name,
        "served": deployment.status.value == "READY" if deployment.status else False,
        "last": last.state.name if last and last.state else None,
        "last_date": _minute(last.expected_start_time) if last else None,
        "why": last.state.message if last and last.state else None,
        "next_date": _minute(following.expected_start_time) if following else None,
    }


def is_active(deployment: DeploymentResponse) -> bool:
    """Return whether the deployment makes runs of its own."""
    return not deployment.paused and any(schedule.active for schedule in deployment.schedules)


def runs_of(
    client: SyncPrefectClient, deployment: DeploymentResponse, most: int, states: FlowRunFilterStateType
) -> Sequence[FlowRun]:
    """Return runs of a deployment: of WAITING the next ones, of other states the newest."""
    chosen = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]), state=FlowRunFilterState(type=states)
    )
    waits = states is WAITING
    order = FlowRunSort.EXPECTED_START_TIME_ASC if waits else FlowRunSort.EXPECTED_START_TIME_DESC
    return client.read_flow_runs(flow_run_filter=chosen, limit=most, sort=order)


def cancelled(names: Collection[str], most: int) -> list[ScheduledRun]:
    """Return dates of schedules that Prefect cancelled before they began, which the store knows nothing of.

    Args:
        names: of the schedules.
        most: newest dates of each that are looked at.

    Raises:
        InputError: there is no server.
    """
    require_server()
    with get_client(sync_client=True) as client:
        return [
            _cancelled(deployment.name, run)
            for deployment in all_deployments(client)
            if deployment.name in names
            for run in runs_of(client, deployment, min(most, MOST), BEGUN)
            if run.state and run.state.is_cancelled() and not run.run_count
        ]


def _cancelled(schedule: str, run: FlowRun) -> ScheduledRun:
    message = (run.state.message if run.state else None) or "no reason given"
    if "concurrency limit" in message:
        message = "another run of the schedule held the slot"
    date = run.expected_start_time
    due = date.astimezone(UTC).isoformat(timespec="seconds") if date else None
    reason = f"Prefect cancelled it: {public(message)}"
    return ScheduledRun(schedule=schedule, outcome=CANCELLED, reason=reason, due=due, flow_run=str(run.id))


def remove(name: str) -> None:
    """Remove a schedule and its future runs; its past runs and all results stay.

    Raises:
        InputError: there is no such schedule, or no server.
    """
    require_server()
    with get_client(sync_client=True) as client:
        client.delete_deployment(find(client, name).id)


def problems() -> list[str]:
    """Return what keeps schedules from running, or makes them overlap, each as a sentence with advice."""
    require_server()
    with get_client(sync_client=True) as client:
        problems = list(_problems_of_server(client))
        for deployment in all_deployments(client):
            problems += _problems_of(client, deployment, datetime.now(UTC))
    return problems


def _problems_of_server(client: SyncPrefectClient) -> Iterator[str]:
    settings = client.request("GET", "/admin/settings").json()
    storage = settings.get("server", {}).get("concurrency", {}).get("lease_storage", MEMORY)
    if storage == MEMORY:
        yield (
            "the server keeps in memory who holds the slots of limits, and forgets it when it restarts: "
            "start it in a folder that has the checkout's prefect.toml, or with "
            f"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={FILES}"
        )


def _problems_of(client: SyncPrefectClient, deployment: DeploymentResponse, now: datetime) -> Iterator[str]:
    name, runs = deployment.name, runs_of(client, deployment, MOST, BEGUN)
    for run in runs:
        since = run.state.timestamp if run.state else now
        if run.state and run.state.is_pending() and (now - since).total_seconds() > GRACE:
            yield (
                f"{name}: flow run {run.name} has been Pending for {_duration(now - since)}, and holds the "
                f"only slot: `prefect flow-run delete {run.id}` frees it"
            )
    holders = [run for run in runs if run.state_type in COUNTED]
    limit = deployment.global_concurrency_limit
    correction = f"prefect global-concurrency-limit update {limit.name if limit else ''}"
    if limit is None:
        yield f"{name}: it has no limit of one run, so runs may overlap: make it again"
    elif limit.active_slots < min(len(holders), limit.limit):
        yield (
            f"{name}: flow run {holders[0].name} counts as working and holds no slot: its process is dead "
            f"(`prefect flow-run delete {holders[0].id}`; `atelier automations` ends such runs), or the "
            f"server forgot its slots (`{correction} --active-slots {len(holders)}`)"
        )
    elif limit.active_slots > len(holders):
        yield (
            f"{name}: the server counts {limit.active_slots} working runs, and there are {len(holders)}: "
            f"`{correction} --active-slots {len(holders)}` corrects it"
        )
    if not is_active(deployment):
        yield f"{name}: it is paused: `prefect deployment schedule resume` or serving it again resumes it"
        return
    if not runs_of(client, deployment, 1, WAITING):
        yield (
            f"{name}: the server has no next date for it, a minute after it was made or resumed: its "
            "scheduler fails (see its log); install the locked versions, since a newer sqlalchemy breaks it"
        )
    if missed := _without_run(client, deployment, now):
        yield missed


def _without_run(client: SyncPrefectClient, deployment: DeploymentResponse, now: datetime) -> str | None:
    """Return a sentence if several dates in a row have had no run; a cancelled one is none."""
    waiting = [
        run
        for run in runs_of(client, deployment, MOST, WAITING)
        if run.expected_start_time and run.expected_start_time < now - timedelta(seconds=HEARTBEAT)
    ]
    cancelled = 0
    for run in runs_of(client, deployment, PERIODS, BEGUN):
        if not (run.state and run.state.is_cancelled()):
            break
        cancelled += 1
    if len(waiting) + cancelled < PERIODS:
        return None
    why = (
        "the runs were cancelled, since another held the slot"
        if cancelled >= PERIODS
        else ("no process takes its runs: is `atelier schedule`, or a worker of its pool, running?")
    )
    return f"{deployment.name}: its last {len(waiting) + cancelled} dates have had no run: {why}"


def _duration(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"


def _minute(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment else None
