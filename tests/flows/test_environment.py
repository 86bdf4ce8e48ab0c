"""What is set in the environment before Prefect is imported."""

from __future__ import annotations

import os

import pytest

from flows import environment


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PREFECT_HOME": "mine", "ATELIER_HOME": "/project"})
    environment.prepare()
    assert os.environ["PREFECT_HOME"] == "mine" and os.environ["DO_NOT_TRACK"] == "1"
    assert "127.0.0.1" in os.environ["no_proxy"]
    del os.environ["PREFECT_HOME"]
    environment.prepare()
    assert os.environ["PREFECT_HOME"] == "/project/.atelier/prefect"
