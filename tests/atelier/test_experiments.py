"""Running experiments in Python: changes as on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import atelier
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult, RunManifest
from components.store import Store
from flows import setup, start
from tests.registry.exports import record


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """What would be run."""
    started = mock.Mock(return_value=RunManifest(run_id="r"))
    monkeypatch.setattr(start, "start", started)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return started


def test_changes_are_those_of_the_command_line(home: Path, started: mock.Mock) -> None:
    changes: dict[str, Any] = {
        "data": {"name": "digits"},
        "families": {"vae": {"lr": 1e-5, "train": {"steps": 7}}, "cgan": {}},
        "evaluate": {"held_out_classes": ["1e5"], "ablation_samples": 0},
    }
    assert atelier.run("configs/quickstart.yaml", only=["vae"], smoke=True, **changes).run_id == "r"
    settings = ["data.name=digits", "families.vae.lr=1e-5", "families.vae.train.steps=7", "families.cgan={}"]
    settings += ["evaluate.held_out_classes=['1e5']", "evaluate.ablation_samples=0"]
    expected = setup.experiment(home / "configs/quickstart.yaml", settings, ["vae"], smoke=True)
    assert started.call_args.args == (expected,)
    options = {"force": (), "smoke": True, "command": "atelier.run"}
    assert options.items() <= started.call_args.kwargs.items()


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        (None, {"families": {"vea": {"lr": 1}}}, "families.vea.lr: vea is not in .*did you mean 'vae'"),
        (None, {"trian": {"steps": 1}}, "unknown key trian.*did you mean 'train'"),
        ("nowhere.yaml", {}, "there is no config file nowhere.yaml"),
        ("configs/sweeps/vae.yaml", {}, "describes a sweep; use `atelier sweep"),
    ],
)
def test_what_cannot_be_run(
    home: Path, started: mock.Mock, config: str | None, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(atelier.InputError, match=sentence):
        atelier.run(config, **changes)
    assert not started.called


def test_runs_are_the_newest_first(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert atelier.runs(store.url) == []
    record(store, "1", {"vae": "key"})
    record(store, "2")
    store.write_text("runs/3/run.json", "half")
    assert [run.run_id for run in atelier.runs(store.url)] == ["2", "1"]
    assert list(atelier.runs(store.url)[1].models) == ["vae"]


def test_a_run_prints_the_metric_that_ranks() -> None:
    distance = MetricResult(value=9.21, note="mostly bias")
    metrics = {"frechet_distance": distance, "kid": MetricResult(value=0.1235)}
    run = RunManifest(run_id="r", results=[FamilyResult(family="vae", metrics=metrics)])
    assert "measures={'vae': 'kid 0.1235'}" in repr(run)
    metrics = {"kid": MetricResult(value=0.1235, note="meaningless")}
    run = RunManifest(run_id="r", results=[FamilyResult(family="vae", metrics=metrics)])
    assert "kid 0.1235 (meaningless)" in repr(run)
