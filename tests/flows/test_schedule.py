"""The flow that schedules call."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.common.errors import RunError
from components.registry import schedules
from components.store import Store
from flows import schedule
from flows.overlap import Skip

CONFIG = "configs/quickstart.yaml"


@pytest.fixture
def store(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, the runs of which are made up."""
    experiment = SimpleNamespace(
        notify=["json://127.0.0.1/"],
        cluster=None,
        store=SimpleNamespace(url=str(tmp_path)),
        data=SimpleNamespace(name="digits", revision=None, refresh=False),
    )
    monkeypatch.setattr(schedule, "experiment_of", lambda *_: experiment)
    monkeypatch.setattr(schedule, "data_version", lambda *_, **__: (tmp_path, "0123456789abcdef.dir"))
    monkeypatch.setattr(schedule.setup, "plan_of", lambda *_: "plan")
    monkeypatch.setattr(schedule.unchanged, "made_by", lambda *_: None)
    rows = [("train vae", "ran", "changed: data"), ("prepare", "cached", "")]
    monkeypatch.setattr(schedule.views, "explanation", lambda *_: rows)
    monkeypatch.setattr(schedule.views, "images_changed", lambda *_: "data set digits: 9 -> 10 images")
    return Store(str(tmp_path))


def ending(status: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let runs end with a status; return the list of their commands."""
    commands: list[str] = []

    def start(experiment: Any, *, command: str, **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(status=status, run_id="20260101-000000-aaaa")

    monkeypatch.setattr("flows.start.start", start)
    return commands


def test_a_date_runs_its_config_and_records_what_was_computed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = ending("done", monkeypatch)
    state = schedule.scheduled.fn(CONFIG)
    assert state.is_completed() and state.name == "Completed" and "stages computed: 1" in state.message
    assert commands == [f"scheduled quickstart: {CONFIG}"]
    (entry,) = schedules.history(store, "quickstart")
    assert (entry.outcome, entry.run_id, entry.version) == (
        "ran",
        "20260101-000000-aaaa",
        "0123456789abcdef.dir",
    )
    assert entry.redone == ["train vae: changed: data"] and entry.config == CONFIG


def test_nothing_new_is_no_run_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ending("done", monkeypatch)
    monkeypatch.setattr(schedule.unchanged, "made_by", lambda *_: "20260101-000000-bbbb")
    state = schedule.scheduled.fn(CONFIG)
    assert state.is_completed() and state.name == "Unchanged" and not commands
    assert "nothing is new: data set digits is at version 0123456789" in state.message
    (entry,) = schedules.history(store, "quickstart")
    assert (entry.outcome, entry.run_id) == ("unchanged", "20260101-000000-bbbb")


def test_a_skipped_date_is_completed_with_its_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ending("done", monkeypatch)

    def refuse(*_: object) -> None:
        raise Skip("it is too late")

    monkeypatch.setattr(schedule.overlap, "check_late", refuse)
    state = schedule.scheduled.fn(CONFIG)
    assert state.is_completed() and (state.name, state.message) == ("Skipped", "it is too late")
    assert not commands and schedules.history(store, "quickstart")[0].outcome == "skipped"


def test_a_killed_run_is_told_of_by_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ending("done", monkeypatch)
    calls: list[Any] = []
    monkeypatch.setattr(schedule.notify, "tell", lambda *arguments: calls.append(arguments) or [])
    folder = store.child("leases", "schedule-quickstart")
    dead = {"number": 1, "host": "h", "pid": 1, "beat": 3, "expires": 1.0, "released": False}
    folder.write_json("1.json", dead)
    monkeypatch.setenv("ATELIER_LEASE_SECONDS", "1")
    assert schedule.scheduled.fn(CONFIG).name == "Completed"
    ((lost, name, urls),) = calls
    assert (lost.kind, name, urls) == ("atelier.run.lost", "quickstart", ["json://127.0.0.1/"])
    assert schedule.scheduled.fn(CONFIG).name == "Completed" and len(calls) == 1


def test_a_run_that_is_not_done_fails_its_date(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ending("partial", monkeypatch)
    with pytest.raises(RunError, match="ended with status partial; see run 20260101-000000-aaaa"):
        schedule.scheduled.fn(CONFIG)
    (entry,) = schedules.history(store, "quickstart")
    assert entry.outcome == "failed" and "status partial" in entry.reason and entry.ended


def test_a_config_with_a_sweep_is_swept(home: Path) -> None:
    swept = schedule.experiment_of("configs/sweeps/dcgan.yaml", ["sweep.trials=2"])
    assert swept.sweep and swept.sweep.trials == 2
    assert list(schedule.experiment_of(CONFIG, [], ["vae"]).families) == ["vae"]


def test_every_date_is_a_line_on_the_terminal(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending("done", monkeypatch)
    schedule.scheduled.fn(CONFIG)
    assert (
        " UTC ran: run 20260101-000000-aaaa is done; stages computed: 1; data set digits: 9 -> 10 images\n"
        in capsys.readouterr().err
    )
    monkeypatch.setattr(schedule.unchanged, "made_by", lambda *_: "20260101-000000-bbbb")
    schedule.scheduled.fn(CONFIG)
    assert capsys.readouterr().err.endswith(" UTC unchanged\n")
