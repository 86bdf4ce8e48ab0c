"""Automations: which events they wait for, and that making them twice makes them once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.server.events.ordering import PRECEDING_EVENT_LOOKBACK
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.common.errors import InputError
from flows import automations, deployments, notify


def test_a_dead_run_counts_as_crashed_and_one_that_was_skipped_is_not_dead() -> None:
    (dead,) = automations.automations(None)
    expected = {f"prefect.flow-run.{name}" for name in ("heartbeat", "Completed", "Skipped", "Unchanged")}
    assert expected <= dead.trigger.expect
    assert automations.SILENCE.total_seconds() > 3 * deployments.HEARTBEAT
    late = PRECEDING_EVENT_LOOKBACK  # for which triggers wait until they see that a scheduled run has ended
    assert automations.SILENCE - late > timedelta(minutes=2)
    (crash,) = dead.actions
    assert crash.state.value == "CRASHED"


def test_a_web_hook_is_told_of_every_kind_of_event() -> None:
    hook = uuid4()
    dead, *others = automations.automations(hook)
    assert len(dead.actions) == 2
    assert [kind for one in others for kind in one.trigger.expect] == list(notify.KINDS)
    assert {action.block_document_id for one in others for action in one.actions} == {hook}


@pytest.fixture
def server(prefect_server: str) -> Iterator[str]:
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield prefect_server


@pytest.mark.slow
def test_automations_are_made_once_and_removed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert automations.apply(None) == [automations.NAME_OF_DEAD]
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/token")
    names = automations.apply("$HOOK")
    assert len(names) == 1 + len(notify.KINDS) and automations.apply(None) == names
    with get_client(sync_client=True) as client:
        assert sorted(name for _, name in automations._existing(client)) == sorted(names)
    assert sorted(automations.remove()) == sorted(names) and automations.remove() == []
    with pytest.raises(InputError, match=r"--webhook ftp://\*\*\*: give a URL of http"):
        automations.apply("ftp://token")
