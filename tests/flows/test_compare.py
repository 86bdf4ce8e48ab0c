"""What differs between two runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from components.records.evaluation import MetricResult
from components.records.run import DataLineage, FamilyResult, Lineage, RunManifest
from components.store import Store
from flows.compare import changed_settings, compared_metrics
from tests.flows.cli.test_app import call


def run(run_id: str, lr: float, kid: float, n: int = 100, **config: Any) -> RunManifest:
    metric = MetricResult(
        value=kid, low=kid - 0.1, high=kid + 0.1, n=n, recipe={"n": n}, comparability=f"c{n}"
    )
    lineage = Lineage(data=DataLineage(version="v1"), config={"families": {"vae": {"lr": lr}}, **config})
    result = FamilyResult(family="vae", task="generate", metrics={"kid": metric})
    return RunManifest(run_id=run_id, status="done", lineage=lineage, results=[result])


def test_only_settings_that_differ_are_listed() -> None:
    rows = changed_settings(run("a", 0.1, 1.0, seed=0), run("b", 0.2, 1.0, seed=0, device="cpu"))
    assert [(row.name, row.first, row.second) for row in rows] == [
        ("device", "-", "cpu"),
        ("families.vae.lr", 0.1, 0.2),
    ]


def test_a_family_that_one_run_does_not_have_is_one_row() -> None:
    both = {"families": {"vae": {"lr": 0.1}, "gan": {"lr": 0.3, "train": {"steps": 9, "batch": 2}}}}
    one, two = run("a", 0.1, 1.0), run("b", 0.1, 1.0, **both)
    assert [asdict(row) for row in changed_settings(one, two)] == [
        {"name": "families.gan", "first": "-", "second": "only here", "why_not": ""}
    ]
    assert changed_settings(two, one)[0].first == "only here"


@pytest.mark.parametrize(
    ("kid", "n", "words"),
    [
        (2.0, 100, ""),
        (1.1, 100, "intervals overlap"),
        (2.0, 50, "not comparable: different number of images"),
    ],
)
def test_metrics_say_whether_they_compare(kid: float, n: int, words: str) -> None:
    (row,) = compared_metrics(run("a", 0.1, 1.0), run("b", 0.1, kid, n))
    assert row.name == "vae kid" and row.why_not.startswith(words) and bool(row.why_not) == bool(words)


def test_the_command_prints_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for each in (run("a", 0.1, 1.0), run("b", 0.2, 2.0)):
        Store(str(tmp_path)).write_json(f"runs/{each.run_id}/run.json", each.to_json())
    code, out, err = call(capsys, "compare", "a", "b", "--store", str(tmp_path))
    lines = [line.split() for line in out.splitlines()]
    assert (
        code == 0 and ["families.vae.lr", "0.1", "0.2"] in lines and ["vae", "KID", "1.00", "2.00"] in lines
    )
    assert err.startswith("next: ")
    result = json.loads(call(capsys, "compare", "a", "b", "--json", "--store", str(tmp_path))[1])
    assert result["runs"] == ["a", "b"] and len(result["settings"]) == len(result["metrics"]) == 1
    assert call(capsys, "compare", "a", "c", "--store", str(tmp_path))[0] == 2


def test_a_result_that_both_runs_have_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = "88 images are few"
    for run_id in ("a", "b"):
        each = run(run_id, 0.1, 1.0)
        each.results[0].metrics["kid"].note = note
        gan = FamilyResult(family="gan", task="generate", metrics=each.results[0].metrics)
        each.results.append(gan.model_copy(update={"train_seconds": 60.0 if run_id == "a" else 70.0}))
        Store(str(tmp_path)).write_json(f"runs/{run_id}/run.json", each.to_json())
    out = call(capsys, "compare", "a", "b", "--store", str(tmp_path))[1]
    (line,) = [line for line in out.splitlines() if "vae" in line]
    assert line.startswith("both runs have the same result of vae: ") and f"gan KID: {note}" in out
    result = json.loads(call(capsys, "compare", "a", "b", "--json", "--store", str(tmp_path))[1])
    assert [row["why_not"] for row in result["metrics"]] == ["the same result", "intervals overlap"]


def test_what_speaks_against_numbers_is_said_below_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "mostly bias: 88 images for 64 features; rank by KID"
    for run_id, recall in (("a", 0.6), ("b", 0.0)):
        each = run(run_id, 0.1, 1.0)
        metrics = each.results[0].metrics
        each.results[0].metrics = {
            "frechet_distance": MetricResult(value=9.0, note=note),
            "recall": MetricResult(value=recall, real_baseline=0.8, better="higher"),
            **metrics,
        }
        Store(str(tmp_path)).write_json(f"runs/{run_id}/run.json", each.to_json())
    out = call(capsys, "compare", "a", "b", "--store", str(tmp_path))[1]
    names = [line.split()[1] for line in out.splitlines() if line.startswith("vae ")]
    assert names[:3] == ["KID", "Recall", "Fréchet"], "the one that ranks is first"
    assert "vae Fréchet distance *" in out and f"* vae Fréchet distance: {note}" in out
    assert "60.0\u00a0%" in out, "percent as on the page"
    assert "vae of b is not near real images: Recall is 0.0\u00a0%" in out and "vae of a is" not in out
    result = json.loads(call(capsys, "compare", "a", "b", "--json", "--store", str(tmp_path))[1])
    assert [(one["run_id"], one["family"]) for one in result["unlike_real"]] == [("b", "vae")]
    assert [bool(row["note"]) for row in result["metrics"]] == [False, False, True]
