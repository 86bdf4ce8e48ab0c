"""A schedule that a process serves: dates that are due at once, on a real Prefect server."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from components.pipeline import graph
from components.registry import schedules
from components.store import Store
from flows import deployments, schedule, setup
from tests.flows.driver import TINY, until
from tests.pipeline.test_unchanged import finish


def due(client: SyncPrefectClient, hours: int) -> FlowRun:
    """Let the schedule have had a date some hours ago."""
    (deployment,) = deployments.all_deployments(client)
    date = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(hours=hours))
    return client.create_flow_run_from_deployment(deployment.id, state=date)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_two_dates_one_works_and_without_new_data_it_computes_nothing(
    digits: Path, home: Path, prefect_server: str, tmp_path: Path
) -> None:
    config, store = home / "configs" / "served.yaml", Store(str(tmp_path))
    config.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | {"store": {"url": str(tmp_path)}}))
    plan = setup.plan_of(schedule.experiment_of("configs/served.yaml", []), store)
    assert plan
    for _, spec in graph.planned(plan).values():
        finish(store, spec, "run1", 1.0)
    command = [sys.executable, "-m", "flows.cli", "schedule", "configs/served.yaml", "--cron", "0 2 * * *"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
        try:
            until(lambda: deployments.all_deployments(client))
            runs = [due(client, 2), due(client, 1)]

            def ended() -> list[str]:
                states = [client.read_flow_run(run.id).state for run in runs]
                return [state.name for state in states if state and state.is_final()]

            until(lambda: len(ended()) == 2)
            assert sorted(ended()) in (["Cancelled", "Unchanged"], ["Skipped", "Unchanged"])
        finally:
            process.send_signal(signal.SIGTERM)
            _, output = process.communicate(timeout=120)
            config.unlink()
        assert process.returncode == 130 and "Traceback" not in output
        assert output.splitlines()[-1] == "atelier: interrupted; run the same command again to continue"
        (row,) = deployments.rows()
        assert not row["active"], "a schedule that nobody serves is paused"
        deployments.remove("served")
    entry = schedules.history(store, "served")[-1]
    assert " UTC unchanged; next " in output, "each date is a line"
    assert (entry.outcome, entry.run_id) == ("unchanged", "run1") and entry.due and entry.flow_run
