"""Runs over the versions of a data set."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.common.errors import InputError, RunError
from components.config.experiment import Experiment
from flows import backfill as module
from flows.backfill import backfill

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
VERSIONS = [f"{number}" * 32 + ".dir" for number in (1, 2, 3)]


@pytest.fixture
def started(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """A data set with three versions; the experiments that were run on them."""
    experiments: list[Experiment] = []

    def start(experiment: Experiment, **_: Any) -> SimpleNamespace:
        experiments.append(experiment)
        if experiment.data.revision == VERSIONS[1].removesuffix(".dir"):
            raise RunError("the disk is full")
        return SimpleNamespace(status="done", run_id=f"run{len(experiments)}")

    rows = [{"version": version, "when": f"2026-01-0{i}T00:00"} for i, version in enumerate(VERSIONS, 1)]
    monkeypatch.setattr(module.pins, "versions", lambda *_: list(reversed(rows)))
    monkeypatch.setattr(module.dvc, "resolve", lambda home, name, revision: revision * 32 + ".dir")
    monkeypatch.setattr(module, "_made_by", lambda _: None)
    monkeypatch.setattr("flows.start.start", start)
    return experiments


def outcomes(revisions: str, *, plan: bool = False) -> list[tuple[str, str]]:
    rows = backfill(QUICKSTART, revisions, [], [], plan=plan, say=lambda _: None)
    return [(row.version[:1], row.outcome) for row in rows]


def test_versions_run_oldest_first_and_one_failure_does_not_stop_the_others(
    started: list[Experiment],
) -> None:
    assert outcomes("1..3") == [("1", "done"), ("2", "failed: the disk is full"), ("3", "done")]
    assert [run.data.revision for run in started] == [version.removesuffix(".dir") for version in VERSIONS]
    assert {run.gate.review for run in started} == {"never"}, "old data makes no champion"


def test_done_versions_are_left_out(started: list[Experiment], monkeypatch: pytest.MonkeyPatch) -> None:
    done = VERSIONS[0].removesuffix(".dir")
    monkeypatch.setattr(module, "_made_by", lambda run: "old" if run.data.revision == done else None)
    assert outcomes("1..", plan=True) == [("1", "done before"), ("2", "would run"), ("3", "would run")]
    assert not started
    assert outcomes("3..3") == [("3", "done")]


@pytest.mark.parametrize(
    ("revisions", "words"),
    [
        ("1", "1: give a range of revisions as REV1..REV2"),
        ("..3", "give a range of revisions"),
        ("3..1", "3 is newer than 1; give the older revision first"),
        ("1..9", "version 9999999999 of data set mnist5k has no date here"),
    ],
)
def test_a_range_that_is_not_accepted_is_one_sentence(
    started: list[Experiment], revisions: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        outcomes(revisions)


def test_a_config_that_cannot_be_backfilled_is_refused(started: list[Experiment]) -> None:
    sweep = QUICKSTART.parent / "sweeps" / "dcgan.yaml"
    for path, changes, words in (
        (QUICKSTART, ["data.revision=abc"], "quickstart.yaml sets data.revision"),
        (sweep, [], "dcgan.yaml describes a sweep"),
    ):
        with pytest.raises(InputError, match=words):
            backfill(path, "1..3", changes, [], plan=False, say=lambda _: None)
