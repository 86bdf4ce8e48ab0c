"""The command that adds a family to an earlier run keeps its config, data and extractor."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from components.config import loading
from components.records.run import DataLineage, Lineage, RunManifest
from components.store import Store
from flows.addition import to_add

MINE = """
data: {name: shelf}
families:
  r3gan: {train: {steps: 800}}
  dcgan: {train: {steps: 600}}
evaluate: {extractor_steps: 50}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path


def run_of(home: Path, command: str, *, smoke: bool = False, **evaluate: Any) -> RunManifest:
    """The record of a run of mine.yaml, with these changes of how it is evaluated."""
    config = loading.load(home / "mine.yaml").model_dump(mode="json")
    config["evaluate"] |= evaluate
    lineage = Lineage(data=DataLineage(name="shelf"), config=config)
    return RunManifest(run_id="r1", command=command, smoke=smoke, lineage=lineage)


def added(home: Path, run: RunManifest, family: str = "vae") -> list[str]:
    return shlex.split(to_add(family, run, Store(str(home / "output"))))


@pytest.mark.parametrize("command", ["atelier run mine.yaml --explain", "scheduled nightly: mine.yaml"])
def test_the_config_of_the_run_is_named(home: Path, command: str) -> None:
    line = added(home, run_of(home, command))
    assert line[:3] == ["atelier", "run", "mine.yaml"] and line[-2:] == ["--only", "vae"]
    block = "families.vae={train: {batch: 64, schedule: cosine}}"
    assert block in line and "families.vae.train.steps=800" in line
    assert not any(part.startswith(("evaluate", "data", "store")) for part in line)
    changes = [part for part in line if "=" in part]
    config = loading.load(home / "mine.yaml", changes)
    training = config.training("vae")
    assert (training.steps, training.batch, training.schedule) == (800, 64, "cosine"), "as in a first config"
    assert config.evaluate.extractor_steps == 50


def test_a_family_of_the_config_is_not_added_again(home: Path) -> None:
    assert added(home, run_of(home, "atelier run mine.yaml"), "dcgan")[3:] == ["--only", "dcgan"]


def test_what_the_command_line_changed_is_kept(home: Path) -> None:
    line = added(home, run_of(home, "atelier run mine.yaml", extractor_steps=70, extractor="rotation"))
    assert "evaluate.extractor_steps=70" in line and "evaluate.extractor=rotation" in line
    line = added(home, run_of(home, "atelier run mine.yaml", extractor_steps=None))
    assert loading.load(home / "mine.yaml", [p for p in line if "=" in p]).evaluate.extractor_steps is None


@pytest.mark.parametrize("command", ["atelier run lost.yaml", "atelier.run", "", "atelier sweep search.yaml"])
def test_without_its_config_the_quick_start_takes_data_and_extractor(home: Path, command: str) -> None:
    (home / "search.yaml").write_text(MINE + "sweep: {family: dcgan, search: {lr: null}}\n")
    line = added(home, run_of(home, command))
    assert "data.name=shelf" in line and "evaluate.extractor_steps=50" in line
    assert "families.vae.train.steps=800" in line and not any(part.endswith(".yaml") for part in line)


def test_of_a_smoke_run_only_the_data_is_kept(home: Path) -> None:
    line = added(home, run_of(home, "atelier run --smoke", smoke=True, extractor_steps=12))
    assert line == ["atelier", "run", "--set", "data.name=shelf", "--only", "vae"]


def test_another_store_is_named(home: Path) -> None:
    elsewhere = Store(str(home / "elsewhere"))
    assert f"store.url={elsewhere.url}" in to_add("vae", run_of(home, "atelier run mine.yaml"), elsewhere)
