"""Of several runs that are due, one works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed, Pending, Running, Scheduled, State

from components.store import Store
from components.store.lease import lease
from flows import overlap
from flows.overlap import Skip

DATE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
DEPLOYMENT = uuid4()


def run(hours: float, state: State[Any]) -> FlowRun:
    """A flow run that was due some hours after DATE."""
    date = DATE + timedelta(hours=hours)
    return FlowRun(name=f"at {hours}", flow_id=uuid4(), state=state, expected_start_time=date)


def beside(monkeypatch: pytest.MonkeyPatch, *others: FlowRun) -> tuple[UUID, mock.Mock]:
    """Let the server have these runs and one more, which is due at DATE; return its id, and the client."""
    own, client = run(0, Running()), mock.Mock()
    client.read_flow_runs.return_value = [own, *others]
    opened = mock.MagicMock(__enter__=lambda _: client)
    monkeypatch.setattr(overlap, "get_client", lambda **_: opened)
    return own.id, client


def test_dates_that_wait_too_are_skipped_in_favour_of_the_run_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = [run(-24, Scheduled(name="Late")), run(24, Scheduled(name="Late"))]
    own, client = beside(monkeypatch, *late, run(48, Cancelled()), run(-48, Completed()))
    assert overlap.stand_for_latest(DEPLOYMENT, own, DATE) == 2
    assert [call.args[0] for call in client.set_flow_run_state.call_args_list] == [one.id for one in late]
    for call in client.set_flow_run_state.call_args_list:
        assert call.args[1].is_completed() and call.args[1].name == "Skipped"
        assert "the run of 2026-01-02 03:04 UTC works for all of them" in call.args[1].message


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Running(), "2026-01-02 05:04 UTC, is under way"),
        (Pending(), "is under way"),
        (Completed(), "has worked already"),
        (Completed(name="Unchanged"), "has worked already"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_run_gives_way_to_one_of_a_later_date(
    monkeypatch: pytest.MonkeyPatch, state: State[Any], words: str
) -> None:
    own, client = beside(monkeypatch, run(2, state), run(1, Scheduled(name="Late")))
    with pytest.raises(Skip, match=words):
        overlap.stand_for_latest(DEPLOYMENT, own, DATE)
    client.set_flow_run_state.assert_not_called()


def test_a_later_date_that_was_skipped_or_cancelled_has_not_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = beside(monkeypatch, run(2, Completed(name="Skipped")), run(3, Cancelled()))
    assert overlap.stand_for_latest(DEPLOYMENT, own, DATE) == 0


def test_the_lease_of_a_schedule_has_one_holder(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with (
        lease(store, "schedule-nightly", expires=1.0),
        pytest.raises(Skip, match="an earlier run of schedule nightly is still working"),
        overlap.alone(store, "nightly"),
    ):
        pass
    with overlap.alone(store, "nightly"), overlap.alone(store, "weekly"):
        pass


def test_a_run_that_begins_too_late_is_skipped() -> None:
    due = datetime.now(UTC) - timedelta(minutes=90)
    overlap.check_late(due, None)
    overlap.check_late(None, 1)
    overlap.check_late(due, 120)
    with pytest.raises(Skip, match="begins 90 minutes late, more than the 60 of --max-late"):
        overlap.check_late(due, 60)
