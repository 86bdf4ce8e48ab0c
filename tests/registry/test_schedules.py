"""Outcomes of scheduled runs in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.records.scheduled import ScheduledRun
from components.registry import schedules
from components.store import Store


def entry(reason: str, schedule: str = "nightly") -> ScheduledRun:
    return ScheduledRun(schedule=schedule, outcome="ran", reason=reason)


def test_outcomes_are_listed_newest_first_and_the_oldest_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    monkeypatch.setattr(schedules, "KEPT", 3)
    for number in range(5):
        schedules.record(store, entry(str(number)))
    schedules.record(store, entry("other", "weekly"))
    assert schedules.names(store) == ["nightly", "weekly"]
    assert [one.reason for one in schedules.history(store, "nightly")] == ["4", "3", "2"]
    assert [one.reason for one in schedules.history(store, "nightly", 1)] == ["4"]


def test_a_torn_outcome_is_left_out(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    schedules.record(store, entry("whole"))
    store.write_bytes("schedules/nightly/99991231.json", b"{")
    assert [one.reason for one in schedules.history(store, "nightly")] == ["whole"]


def test_an_unknown_schedule_is_one_sentence(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(InputError, match="schedules with runs: none; a run is recorded when it ends"):
        schedules.history(store, "nightly")
    schedules.record(store, entry("whole"))
    with pytest.raises(InputError, match="'nightli' is recorded in this store.*did you mean 'nightly'"):
        schedules.history(store, "nightli")
