"""What the terminal shows of plans and runs."""

from __future__ import annotations

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
