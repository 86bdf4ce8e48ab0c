"""Waits that end when the process is to end."""

from __future__ import annotations

import pytest

from components.common.interruption import interrupted, interrupted_within


def test_a_wait_lasts_until_the_process_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not interrupted_within(0.01)
    monkeypatch.setattr(interrupted, "is_set", lambda: True)
    assert interrupted_within(600.0)
