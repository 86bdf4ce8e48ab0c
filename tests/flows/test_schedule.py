"""The flow that schedules call."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.common.errors import RunError
from flows import schedule


def test_a_schedule_runs_the_sweep_of_its_config_and_fails_with_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def start(experiment: Any, *, command: str) -> SimpleNamespace:
        started.append((experiment, command))
        return SimpleNamespace(status=status, run_id="20260101-000000-aaaa")

    monkeypatch.setattr(schedule.start, "start", start)
    monkeypatch.setattr(schedule.sweep_setup, "from_file", lambda path, changes: (path, changes))
    status = "done"
    assert schedule.scheduled.fn("configs/sweeps/dcgan.yaml", ["sweep.trials=2"]) == "20260101-000000-aaaa"
    ((path, changes), command) = started[0]
    assert (
        path.name == "dcgan.yaml"
        and changes == ["sweep.trials=2"]
        and command == "scheduled sweep of configs/sweeps/dcgan.yaml"
    )
    status = "partial"
    with pytest.raises(RunError, match="ended with status partial; see run 20260101-000000-aaaa"):
        schedule.scheduled.fn("configs/sweeps/dcgan.yaml")
