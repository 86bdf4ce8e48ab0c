"""What the terminal shows of plans and runs."""

from __future__ import annotations

import pytest

from components.records.evaluation import ExternalEvaluation, MetricResult
from components.records.run import FamilyResult, RunManifest
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
