"""What the terminal shows of plans and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.records.evaluation import ExternalEvaluation, MetricResult
from components.records.run import FamilyResult, RunManifest, StageEntry
from components.stages.spec import Spec
from components.store import Store
from flows import views


def test_a_run_ends_with_what_to_do_next() -> None:
    assert views.next_command(RunManifest(run_id="r", status="done")) == ""
    assert views.next_command(RunManifest(run_id="r", status="failed")).startswith("run the same command ag")
    for task, options in (
        ("generate", "-n 16"),
        ("upscale", "--source FILE"),
        ("reconstruct", "--source FILE"),
    ):
        run = RunManifest(run_id="r", results=[FamilyResult(family="x", task=task)])
        assert (
            views.next_command(run) == f"atelier report serve, or atelier sample r x {options} -o samples.png"
        )
        assert views.next_command(run.model_copy(update={"kind": "sweep"})) == ""


def test_images_beyond_the_real_ones_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"data": "d", "version": "v", "split": "test", "preparation": "as they are", "labelled": False}
    for images, title in ((150, "108 of 150 images of others"), (108, "108 images of others")):
        metrics = {"kid": MetricResult(value=0.5, n=108)}
        views.show_judged(ExternalEvaluation(source="others", images=images, metrics=metrics, **fields))
        out = capsys.readouterr().out
        assert f"{title} against d" in out and ("108 images are compared" in out) == (images == 150)


def test_a_smoke_run_is_compared_with_smoke_runs_and_no_other_is(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    runs = []
    for number, steps, smoke in [(1, 100, False), (2, 7, True), (3, 200, False), (4, 8, True)]:
        spec = Spec("train", {"steps": steps}, {}, family="vae")
        store.write_json(f"{spec.uri}/spec.json", spec.canonical())
        stage = StageEntry(name="train", family="vae", key=spec.key, uri=spec.uri, state="ran")
        runs.append(RunManifest(run_id=str(number), smoke=smoke, stages=[stage]))
        store.write_json(f"runs/{number}/run.json", runs[-1].to_json())
    reasons = [views.explanation(store, run)[0][2] for run in runs]
    assert reasons[:2] == ["never done before", "never done before"]
    assert reasons[2:] == ["settings.steps: 100 -> 200", "settings.steps: 7 -> 8"]


BIASED = "mostly bias: 88 images for 64 features; rank by kid"


def doubtful(**more: MetricResult) -> dict[str, MetricResult]:
    distance = MetricResult(value=9.21, real_baseline=5.0, n=88, note=BIASED)
    return {"frechet_distance": distance, "kid": MetricResult(value=0.1235, real_baseline=0.0, n=88), **more}


def test_the_metric_that_ranks_stands_first_and_doubtful_ones_are_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = FamilyResult(family="vae", task="generate", metrics=doubtful())
    views.show(RunManifest(run_id="r", status="done", results=[result]), Store(str(tmp_path)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["family", "kid", "frechet"]
    assert lines[2].split()[:4] == ["vae", "0.1235", "9.21", "*"]
    assert f"* frechet: {BIASED}" in lines


def test_images_that_were_made_elsewhere_are_shown_alike(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = ExternalEvaluation(
        source="others", images=88, data="d", version="v", split="test", preparation="as they are",
        labelled=False, metrics=doubtful(), beware=["74.0 % of the images are copies"],
    )  # fmt: skip
    views.show_judged(evaluation)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("kid ") and lines[3].startswith("frechet distance *")
    assert f"* frechet distance: {BIASED}" in lines and "74.0 % of the images are copies" in lines
