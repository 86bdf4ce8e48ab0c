"""Schedules as deployments: what is refused, what Prefect is given, and what a server says of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Pending, Running, Scheduled, State

from components.common.errors import InputError
from flows import deployments, schedule
from flows.deployments import Request
from tests.flows.driver import until

ROOT = Path(__file__).parents[2]
CONFIG = Path("configs/quickstart.yaml")
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
LATE = Scheduled(name="Late")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cron": "61 * * * *"}, r"--cron '61 \* \* \* \*' is no cron expression; .*2:00 each night"),
        ({"cron": "at night"}, "is no cron expression"),
        ({"cron": "0 0 2 * * *"}, "is no cron expression"),  # with seconds
        ({"cron": "0 0 30 2 *"}, r"--cron '0 0 30 2 \*' never occurs: none of its months has that day"),
        ({"timezone": "Mars/Base"}, "--timezone 'Mars/Base' is unknown; give a name such as Europe/Berlin"),
        ({"timezone": ""}, "--timezone '' is unknown"),
        ({"name": "../x"}, "--name '../x' is not accepted"),
        ({"max_late": 0.0}, "--max-late 0: give minutes"),
        ({"changes": ["store.url=/data/secret/place"]}, "--set store.url: it holds a folder or a credential"),
        ({"changes": ["train.stesp=3"]}, "unknown key train.stesp"),
        ({"config": Path("configs/nothing.yaml")}, "there is no config file"),
    ],
)
def test_what_cannot_be_scheduled_is_one_sentence(home: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Request.of(**{"config": CONFIG, "cron": "0 2 * * *", "timezone": "UTC"} | arguments)


def test_a_config_outside_of_the_project_is_refused(home: Path, tmp_path: Path) -> None:
    (outside := tmp_path / "mine.yaml").write_text(Path(ROOT, CONFIG).read_text())
    with pytest.raises(InputError, match="mine.yaml is outside of the project.*put it there"):
        Request.of(outside, "0 2 * * *", "UTC")


@pytest.fixture
def request_of(home: Path) -> Request:
    return Request.of(CONFIG, "0 2 * * *", "Europe/Berlin", changes=["train.seed=3"], max_late=60)


def test_prefect_gets_a_limit_a_zone_and_no_folder(request_of: Request, home: Path) -> None:
    made = request_of.deployment()
    assert (made.name, made.entrypoint) == ("quickstart", "flows.schedule.scheduled")
    assert made.parameters == {
        "config": "configs/quickstart.yaml", "changes": ["train.seed=3"], "only": [], "max_late": 60
    }  # fmt: skip
    (when,) = made.schedules
    assert (when.schedule.cron, when.schedule.timezone) == ("0 2 * * *", "Europe/Berlin")
    options = made.concurrency_options
    assert (made.concurrency_limit, options.collision_strategy.value) == (1, "CANCEL_NEW")
    assert options.grace_period_seconds == deployments.GRACE
    assert str(home) not in made.model_dump_json()


def test_prefect_yaml_makes_the_same_deployments(request_of: Request) -> None:
    content = PrefectYamlModel.model_validate(yaml.safe_load(Path(ROOT, "prefect.yaml").read_text()))
    of_schedules = [made for made in content.deployments if made.entrypoint == "flows.schedule.scheduled"]
    assert len(of_schedules) == 2 and content.pull == []
    served = request_of.deployment()
    for made in of_schedules:
        assert made.concurrency_limit.grace_period_seconds == served.concurrency_options.grace_period_seconds
        assert made.concurrency_limit.collision_strategy == served.concurrency_options.collision_strategy
        assert made.concurrency_limit.limit == served.concurrency_limit
        assert made.parameters.keys() == served.parameters.keys()
        assert schedule.experiment_of(made.parameters["config"], [])
        (when,) = made.schedules
        deployments.check_cron(when.cron, when.timezone)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/api"])
def test_without_a_server_there_are_no_schedules(url: str | None) -> None:
    words = f"PREFECT_API_URL={url}: no Prefect server" if url else "schedules need a Prefect server"
    with temporary_settings(updates={PREFECT_API_URL: url}), pytest.raises(InputError, match=words):
        deployments.rows()


def run(hours: float, state: State[Any], since: timedelta = timedelta(0)) -> FlowRun:
    state = state.model_copy(update={"timestamp": NOW - since})
    date = NOW + timedelta(hours=hours)
    made = FlowRun(name=f"at {hours}", flow_id=uuid4(), state=state, expected_start_time=date)
    return made.model_copy(update={"state_type": state.type})


def problems(
    monkeypatch: pytest.MonkeyPatch,
    *runs: FlowRun,
    slots: int | None = 0,
    paused: bool = False,
    dates: bool = True,
) -> list[str]:
    """What is said of an hourly schedule with these runs, at NOW."""
    runs += (run(1, Scheduled()),) if dates else ()

    def runs_of(client: object, deployment: object, most: int, states: object) -> list[FlowRun]:
        begun = states is deployments.BEGUN
        chosen = [one for one in runs if bool(one.state and one.state.is_scheduled()) != begun]
        return sorted(chosen, key=lambda one: one.expected_start_time or NOW, reverse=begun)[:most]

    monkeypatch.setattr(deployments, "runs_of", runs_of)
    limit = None if slots is None else SimpleNamespace(limit=1, active_slots=slots, name="deployment:1")
    active = SimpleNamespace(active=True)
    made = SimpleNamespace(name="hourly", paused=paused, schedules=[active], global_concurrency_limit=limit)
    return list(deployments._problems_of(mock.Mock(), made, NOW))  # type: ignore[arg-type]


def test_a_schedule_in_order_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not problems(monkeypatch, run(-1, Completed()))
    assert not problems(monkeypatch, run(-1, Running()), slots=1)
    assert not problems(monkeypatch, run(-0.1, Pending()), slots=1)


@pytest.mark.parametrize(
    ("runs", "options", "words"),
    [
        ([run(-1, Pending(), timedelta(hours=3))], {"slots": 1}, "Pending for 3 hours, and holds"),
        ([run(-1, Running())], {"slots": 0}, "flow run at -1 counts as working and holds no slot"),
        ([run(-1, Completed())], {"slots": 1}, "counts 1 working runs, and there are 0"),
        ([], {"slots": None}, "it has no limit of one run"),
        ([], {"paused": True}, "it is paused"),
        ([], {"dates": False}, "the server has no next date for it"),
        ([run(-1, LATE), run(-2, LATE)], {}, "its last 2 dates have had no run"),
        ([run(-1, Cancelled()), run(-2, Cancelled())], {}, "another held the slot"),
    ],
    ids=["pending", "forgotten", "leaked", "unlimited", "paused", "dateless", "late", "cancelled"],
)  # fmt: skip
def test_problems_are_named_with_advice(
    monkeypatch: pytest.MonkeyPatch, runs: list[FlowRun], options: dict[str, Any], words: str
) -> None:
    (problem,) = problems(monkeypatch, *runs, **options)
    assert problem.startswith("hourly: ") and words in problem


@pytest.mark.parametrize(("storage", "count"), [(deployments.MEMORY, 1), (deployments.FILES, 0)])
def test_a_server_that_forgets_slots_is_a_problem(storage: str, count: int) -> None:
    client, settings = mock.Mock(), {"server": {"concurrency": {"lease_storage": storage}}}
    client.request.return_value.json.return_value = settings
    assert len(list(deployments._problems_of_server(client))) == count


def test_the_runs_of_this_process_are_asked_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print(1, flush=True); "
    command = [sys.executable, "-c", program + "time.sleep(60)"]
    run = subprocess.Popen([*command, deployments.ENGINE], stdout=subprocess.PIPE)
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    for process in (run, other):
        assert process.stdout and process.stdout.readline()
    deployments.end_runs()
    assert run.wait(10) in (7, 0) and other.poll() is None  # psutil may have waited for it
    other.kill()
    other.wait()


@pytest.fixture
def server(prefect_server: str) -> Iterator[str]:
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield prefect_server


@pytest.mark.slow
def test_an_interrupted_schedule_ends_as_such_whatever_its_runner_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away:
        """A runner whose server has gone away when it is to end."""

        async def start(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise RuntimeError("no answer") from None

    runner: Any = Away()
    monkeypatch.setattr(deployments, "end_runs", lambda: None)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(deployments._until_interrupted(runner))


def test_a_schedule_on_a_server(server: str, request_of: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no work pool 'none'.*prefect work-pool create none"):
        deployments.ship(request_of, "none")
    identity = request_of.deployment().apply()
    assert request_of.deployment().apply() == identity, "the same schedule is made once"
    (row,) = deployments.rows()
    assert (row["schedule"], row["cron"], row["timezone"]) == ("quickstart", "0 2 * * *", "Europe/Berlin")
    assert row["active"] and row["last"] is None
    # The server's scheduler, which an incompatible package may break, makes the dates within a minute.
    until(lambda: deployments.rows()[0]["next_date"], 200)
    with pytest.raises(InputError, match="there is no schedule 'quikstart' .did you mean 'quickstart'"):
        deployments.remove("quikstart")

    with get_client(sync_client=True) as client:
        dates = [datetime.now(UTC) - timedelta(hours=hours) for hours in (3, 2, 1)]
        late = [
            client.create_flow_run_from_deployment(identity, state=Scheduled(scheduled_time=date)).id
            for date in dates
        ]
        assert any("its last 3 dates have had no run" in problem for problem in deployments.problems())
        deployment = deployments.find(client, "quickstart")
        others = deployments.runs_of(client, deployment, deployments.MOST, deployments.WAITING)
        assert set(late) <= {one.id for one in others}
        assert schedule.overlap.stand_for_latest(identity, late[0], dates[0]) == 2
        states = [client.read_flow_run(one).state for one in late]
        assert [state.name for state in states if state] == ["Scheduled", "Skipped", "Skipped"]
        for state in (Pending(), Running()):
            client.set_flow_run_state(late[0], state)
        refused = client.create_flow_run_from_deployment(identity)
        client.set_flow_run_state(refused.id, Pending())
        (cancelled,) = deployments.cancelled(["quickstart"], deployments.MOST)
        assert cancelled.flow_run == str(refused.id) and cancelled.reason.endswith("schedule held the slot")
        assert deployments.rows()[0]["last"] == "Running", "although a later date was cancelled meanwhile"
    deployments.remove("quickstart")
    assert deployments.rows() == [] and os.environ["PREFECT_API_URL"] == server
