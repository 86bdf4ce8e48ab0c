"""Waits that end when the process is to end."""

from __future__ import annotations

import sys
import threading
from types import ModuleType

import pytest

from components.common import interruption
from components.common.interruption import interrupted, interrupted_within


def test_a_wait_lasts_until_the_process_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not interrupted_within(0.01)
    monkeypatch.setattr(interrupted, "is_set", lambda: True)
    assert interrupted_within(600.0)


def test_ray_that_is_being_imported_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "interrupted", threading.Event())
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    interruption.stop()
    assert interruption.interrupted.is_set()
