"""When a run needs neither Prefect nor Ray. tests/flows/test_pipeline.py has such a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.stages.spec import Spec
from components.store import open_store
from flows import unchanged


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that asks for the stages of an experiment of two; `done` says which have results."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    specs = [Spec(stage=name, settings={}, code={}) for name in ("prepare", "train")]
    monkeypatch.setattr(unchanged, "plan_of", Mock())
    monkeypatch.setattr(unchanged, "planned", lambda _: {spec.name: (Mock(), spec) for spec in specs})

    def ask(
        *done: str, force: tuple[str, ...] = (), sweep: Any = None, refresh: bool = False
    ) -> list[str] | None:
        monkeypatch.setattr(unchanged.cache, "finished", lambda store, spec: spec.stage in done)
        experiment: Any = Mock(sweep=sweep, data=Mock(refresh=refresh))
        stages = unchanged.unchanged_stages(experiment, open_store(str(tmp_path), tmp_path), force)
        return stages and [spec.stage for _, spec in stages]

    return ask


def test_every_stage_must_have_its_result(ask: Any) -> None:
    assert ask("prepare", "train") == ["prepare", "train"]
    assert ask("prepare") is None


def test_forced_stages_sweeps_and_given_servers_are_run(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("prepare", "train", force=("train",)) is None
    assert ask("prepare", "train", sweep=Mock()) is None
    assert ask("prepare", "train", refresh=True) is None
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert ask("prepare", "train") is None


def test_data_that_is_not_prepared_has_no_results(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "plan_of", lambda *_: None)
    assert ask("prepare", "train") is None
