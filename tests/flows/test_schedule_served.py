"""A schedule that a process serves: dates that are due at once, on a real Prefect server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from components.registry import schedules
from components.store import Store
from flows import deployments
from tests.flows.driver import TINY, Atelier, until


@pytest.mark.pipeline
@pytest.mark.timeout(600)
def test_of_two_dates_one_works_and_without_new_data_it_computes_nothing(
    fresh: Atelier, home: Path, prefect_server: str
) -> None:
    settings = yaml.safe_load(TINY.read_text())
    settings["families"] = {"autoencoder": settings["families"]["autoencoder"]}
    settings["train"] |= {"steps": 2, "checkpoint_every": 2, "validate_every": 2}
    settings["evaluate"] |= {"held_out_classes": [], "latent_analysis": False}
    config = home / "configs" / "served.yaml"
    config.write_text(yaml.safe_dump(settings | {"store": {"url": str(fresh.store)}}))
    fresh.call("run", str(config))
    command = fresh.command("schedule", "configs/served.yaml", "--cron", "0 2 * * *")
    process = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": ""}, stderr=subprocess.PIPE)
    try:
        with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
            until(lambda: deployments.all_deployments(client), 120)
            (deployment,) = deployments.all_deployments(client)
            dates = [datetime.now(UTC) - timedelta(hours=hours) for hours in (2, 1)]
            due = [
                client.create_flow_run_from_deployment(deployment.id, state=Scheduled(scheduled_time=date)).id
                for date in dates
            ]

            def ended() -> list[FlowRun]:
                runs = [client.read_flow_run(one) for one in due]
                return runs if all(run.state and run.state.is_final() for run in runs) else []

            first, second = (run.state for run in until(ended, 300))
            assert first and (first.type.value, first.name) == ("COMPLETED", "Unchanged")
            assert second and second.name in ("Cancelled", "Skipped")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        config.unlink()
        shutil.rmtree(home / "output", ignore_errors=True)
    (entry,) = schedules.history(Store(str(fresh.store)), "served")
    assert entry.outcome == "unchanged" and entry.due and "nothing is new" in entry.reason
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        (row,) = deployments.rows()
        assert not row["active"], "a schedule that nobody serves is paused"
        deployments.remove("served")
