"""`atelier schedule`, `backfill` and `why`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed

from components.records.scheduled import ScheduledRun
from components.registry import schedules
from components.store import Store
from flows import deployments
from flows.backfill import Outcome
from tests.flows.cli.test_app import call

ROW = {
    "schedule": "nightly", "config": "configs/tiny.yaml", "cron": "0 2 * * *", "timezone": "Europe/Berlin",
    "active": True, "pool": None, "served": True, "last": "Skipped", "last_date": "2026-01-02 01:00",
    "why": "late", "next_date": "2026-01-03 01:00",
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a config to schedule, or give one of --list, --check and --remove NAME"),
        (["configs/quickstart.yaml", "--list"], "name a config to schedule, or give one of"),
        (["configs/quickstart.yaml"], '--cron "0 2 * * *"'),
        (["configs/quickstart.yaml", "--cron", "2"], "is no cron expression"),
        (["--list"], "schedules need a Prefect server that keeps running"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(deployments.PREFECT_API_URL, "value", lambda: None)
    code, out, err = call(capsys, "schedule", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and words in err


def test_schedules_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(deployments, "rows", lambda: [ROW])
    code, out, err = call(capsys, "schedule", "--list")
    assert err == "next: atelier why nightly says what became of its last date\n"
    assert code == 0 and "nightly   configs/tiny.yaml  0 2 * * *  Europe/Berlin  yes" in out
    assert "2026-01-02 01:00  Skipped  2026-01-03 01:00" in out
    assert json.loads(call(capsys, "schedule", "--list", "--json")[1]) == [ROW]
    monkeypatch.setattr(deployments, "rows", lambda: [])
    err = call(capsys, "schedule", "--list")[2]
    assert "there are no schedules" in err and "next: atelier schedule CONFIG --cron" in err


def test_problems_are_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deployments, "problems", lambda: [])
    assert call(capsys, "schedule", "--check")[:2] == (0, "all schedules are in order\n")
    monkeypatch.setattr(deployments, "problems", lambda: ["nightly: it is paused"])
    assert call(capsys, "schedule", "--check")[:2] == (1, "nightly: it is paused\n")


def test_a_schedule_is_served_shipped_and_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(deployments, "require_server", lambda: "")
    monkeypatch.setattr(deployments, "serve", lambda request: calls.append(request.name))
    monkeypatch.setattr(deployments, "ship", lambda request, pool: calls.append((request.name, pool)))
    monkeypatch.setattr(deployments, "remove", calls.append)
    made = ["schedule", "configs/quickstart.yaml", "--cron", "0 2 * * *"]
    assert "'0 2 * * *', UTC; runs on this machine" in call(capsys, *made)[2]
    _, out, err = call(capsys, *made, "--name", "nightly", "--pool", "gpus")
    assert "run by work pool gpus" in out and "next: prefect worker start --pool gpus" in err
    _, out, err = call(capsys, "schedule", "--remove", "nightly")
    assert "removed schedule nightly" in out and "next: atelier schedule --list" in err
    assert calls == ["quickstart", ("nightly", "gpus"), "nightly"]


def test_a_backfill_lists_its_versions_and_fails_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Outcome("0123456789abcdef.dir", "2026-01-02T03:04", "done", "run1")
    monkeypatch.setattr("flows.backfill.backfill", lambda *_, **__: [row, replace(row, run_id="run2")])
    code, out, err = call(capsys, "backfill", "a..b")
    assert code == 0 and "0123456789  2026-01-02  done     run1" in out
    assert err.endswith("next: atelier compare run1 run2\n")
    failed = replace(row, outcome="failed: x", run_id=None)
    monkeypatch.setattr("flows.backfill.backfill", lambda *_, **__: [failed])
    code, out, _ = call(capsys, "backfill", "a..b", "--json")
    assert code == 1 and json.loads(out)[0]["outcome"] == "failed: x"
    assert "runs again what failed" in call(capsys, "backfill", "a..b")[2]


def test_why_names_the_newest_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = str(tmp_path)
    assert "no scheduled run is recorded in this store" in call(capsys, "why", "--store", at)[2]
    for number, (name, outcome) in enumerate([("a", "ran"), ("b", "skipped"), ("a", "ran")]):
        entry = ScheduledRun(
            schedule=name, outcome=outcome, reason=f"reason {number}", began=f"2026-01-02T03:0{number}:00",
            redone=["train vae: changed: data"] if outcome == "ran" else [],
        )  # fmt: skip
        schedules.record(Store(at), entry)
    newest = "a, due 2026-01-02 03:02 UTC: ran: reason 2\n  train vae: changed: data\n"
    assert call(capsys, "why", "--store", at)[1] == newest
    assert call(capsys, "why", "b", "--store", at)[1] == "b, due 2026-01-02 03:01 UTC: skipped: reason 1\n"
    both = json.loads(call(capsys, "why", "-n", "2", "--json", "--store", at)[1])
    assert [entry["reason"] for entry in both] == ["reason 2", "reason 1"]
    assert "did you mean 'a'" in call(capsys, "why", "aa", "--store", at)[2]


def test_why_lists_the_dates_that_prefect_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at = str(tmp_path)
    ran = ScheduledRun(schedule="a", outcome="ran", reason="x", began="2026-01-02T03:00")
    schedules.record(Store(at), ran)
    dates = [
        FlowRun(flow_id=uuid4(), state=state, expected_start_time=datetime(2026, 1, 2, hour, tzinfo=UTC))
        for hour, state in [(5, Cancelled(message="Deployment concurrency limit reached.")), (1, Completed())]
    ]
    made = SimpleNamespace(name="a")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert call(capsys, "why", "-n", "2", "--store", at)[1].count("due") == 1, "without an answer"
    monkeypatch.setattr(deployments, "require_server", lambda: "")
    monkeypatch.setattr(deployments, "get_client", MagicMock())
    monkeypatch.setattr(deployments, "all_deployments", lambda client: [made])
    monkeypatch.setattr(deployments, "runs_of", lambda *_: dates)
    first, second = call(capsys, "why", "-n", "2", "--store", at)[1].splitlines()
    assert second.startswith("a, due 2026-01-02 03:00 UTC: ran")
    assert first.startswith(
        "a, due 2026-01-02 05:00 UTC: cancelled: Prefect cancelled it: another run of the"
    )
