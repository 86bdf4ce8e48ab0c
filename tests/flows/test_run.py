"""What a person at a terminal is told of a training under way."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from rich.console import Console

from components.common.errors import RunError
from components.records.health import HealthEvent
from components.records.run import RunManifest
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import Unreachable
from flows import run
from flows.progress import ProgressDisplay
from flows.record import Record

FOUND: dict[str, Any] = {
    "step": 1200,
    "attempt": 1,
    "title": "Mode collapse",
    "evidence": {"diversity": 0.0812, "discriminator_loss": "nan"},
    "action": "treated",
    "treatment": {"remedy": "minibatch discrimination", "back_to": 800},
}
SAID = "step 1200: mode collapse (diversity 0.0812, discriminator_loss nan): "


@pytest.fixture
def training(tmp_path: Path) -> Iterator[tuple[run.Run, Spec, Store]]:
    """A run with a terminal of text, a stage, and its attempt's folder."""
    store = Store(str(tmp_path / "store"))
    board = ProgressDisplay(Console(file=io.StringIO(), width=200))
    made = run.Run("r", None, store, Record(store, RunManifest(run_id="r"), Mock()), board)  # type: ignore[arg-type]
    yield made, Spec("train", {}, {}, family="dcgan"), store.child("attempt")
    made.live_page.stop()
    made.record.finish("done")
    del run.RUNS["r"]


def said(made: run.Run) -> list[str]:
    return made.board.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "did"),
    [
        ({}, "treated with minibatch discrimination, back to step 800"),
        ({"action": "observed", "treatment": None}, "observed"),
        ({"action": "stopped", "treatment": None}, "stopped"),
    ],
)
def test_a_diagnosis_is_a_line(changes: dict[str, Any], did: str) -> None:
    assert run.diagnosis("train x", HealthEvent(**FOUND | changes)) == f"  train x: {SAID}{did}"
    assert run.diagnosis("train x", HealthEvent(**FOUND | {"evidence": {}})).count("(") == 0


def test_each_diagnosis_is_said_once_and_counted(training: tuple[run.Run, Spec, Store]) -> None:
    made, spec, attempt = training
    heard: set[str] = set()
    attempt.write_json("health/event-1-0001200.json", FOUND)
    attempt.write_text("health/event-1-0001300.json", '{"step"')  # torn
    attempt.write_json("health/watch.json", {})
    made._report_diagnoses(spec, attempt, heard)
    made._report_diagnoses(spec, attempt, heard)
    assert len(said(made)) == 1 and SAID in said(made)[0]
    attempt.write_json("health/event-1-0001300.json", FOUND | {"step": 1300})
    made._report_diagnoses(spec, attempt, heard)
    assert len(said(made)) == 2 and "step 1300" in said(made)[1]
    assert made.store.read_json("runs/r/run.json")["stages"][0]["events"] == 2


def test_what_was_said_before_an_interruption_is_not_said_again(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, attempt = training
    monkeypatch.setattr(run, "POLL", 0.05)
    attempt.write_json("health/event-1-0001200.json", FOUND)
    with made.watching(spec, attempt):
        while not made.record.manifest.stages:  # the old one is counted
            pass
        attempt.write_json("health/event-2-0001300.json", FOUND | {"step": 1300, "attempt": 2})
    assert ["step 1300" in line for line in said(made)] == [True]
    assert made.record.manifest.stages[0].events == 2


def test_a_damaged_checkpoint_is_said_once(training: tuple[run.Run, Spec, Store]) -> None:
    made, spec, attempt = training
    attempt.write_text("checkpoints/step-0000100.pt.damaged", "torn")
    attempt.write_text("checkpoints/step-0000050.pt", "whole")
    reported: set[str] = set()
    for _ in range(2):
        made._report_damaged(spec, attempt, reported)
    assert len(said(made)) == 1 and "checkpoints/step-0000100.pt is damaged" in said(made)[0]


def test_what_was_taken_of_another_model_is_said_once(training: tuple[run.Run, Spec, Store]) -> None:
    made, spec, attempt = training
    layers = {"a": "taken", "b": "taken", "c": "other shape"} | {f"d{i}": "new" for i in range(6)}
    display = run.TrainingDisplay()
    made._report_initial(spec, attempt, display)
    attempt.write_json("initial.json", {"model": "r/vae", "sha256": "0", "layers": layers})
    for _ in range(2):
        made._report_initial(spec, attempt, display)
    assert said(made) == [
        "  train dcgan: 2 of 9 layers taken from r/vae; other shape: c; new: d0, d1, d2, d3 and 2 more"
    ]


def test_a_resumed_training_does_not_say_it_again(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, attempt = training
    monkeypatch.setattr(run, "POLL", 0.01)
    attempt.write_json("initial.json", {"model": "r/vae", "sha256": "0"})
    with made.watching(spec, attempt):
        pass
    assert said(made) == []


def test_an_outage_does_not_end_the_display(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, attempt = training
    monkeypatch.setattr(run, "POLL", 0.01)
    looks: list[int] = []

    def look(*_: object) -> None:
        looks.append(1)
        raise Unreachable("does not answer")

    monkeypatch.setattr(made, "_look", look)
    with made.watching(spec, attempt):
        deadline = time.monotonic() + 10
        while len(looks) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(looks) >= 3


def test_the_bar_of_a_training_that_has_ended_is_where_it_ended(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, attempt = training
    bar: list[float] = []
    monkeypatch.setattr(run, "update_progress_artifact", lambda _, percent: bar.append(percent))
    attempt.write_json("progress.json", {"step": 12, "steps": 12, "time": 0.0, "values": {}})
    over = threading.Event()
    over.set()
    made._watch(spec, attempt, over, run.TrainingDisplay(artifact=UUID(int=1)))
    assert bar == [100.0]


def test_a_page_that_cannot_be_built_does_not_fail_the_run(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, *_ = training
    monkeypatch.setattr(run.report, "build_run", lambda *_: {}["x"])
    made.show()
    assert "the page could not be built: KeyError: 'x'" in said(made)[0]


def test_a_training_under_way_has_a_page_as_soon_as_it_has_samples(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, attempt = training
    monkeypatch.setattr(made, "_rates", lambda *_: {})
    page = "runs/r/report/index.html"
    made.record.stage(spec, "running")
    made._look(spec, attempt, run.TrainingDisplay(initial=True))
    made.live_page.stop()
    assert not made.store.exists(page)
    made.live_page = run.LivePage(made.build_page)
    attempt.write_json("progress.json", {"step": 1, "steps": 12, "time": 0.0, "values": {}})
    made._look(spec, attempt, run.TrainingDisplay(initial=True))
    made.live_page.stop()
    assert "Still running: 0 of 1 families evaluated" in made.store.read_text(page)
    assert made.store.exists("index.html") and made.record.manifest.report == page


def test_an_error_is_recorded_without_secrets(training: tuple[run.Run, Spec, Store]) -> None:
    made, spec, _ = training

    def body(*_: object) -> dict[str, Any]:
        raise RunError("GET http://user:S3CR3T@host/x failed; token=S3CR3T in /home/alice/x")

    with pytest.raises(RunError):
        made.stage(spec, body)
    text = made.store.read_text("runs/r/run.json")
    assert "S3CR3T" not in text and "alice" not in text and "http://host/x failed" in text


def test_what_ray_says_of_an_interruption_is_not_the_reason(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, _ = training
    monkeypatch.setattr(run.cache, "run", Mock(side_effect=RunError("ActorDiedError: its owner has died")))
    monkeypatch.setattr(run.interrupted, "is_set", lambda: True)
    with pytest.raises(RunError):
        made.stage(spec, Mock())
    assert said(made) == ["✗ train dcgan: interrupted"]
    assert made.failed == {"dcgan": "interrupted"}


def test_a_stage_fails_for_its_own_reason_if_the_record_cannot_be_written(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, _ = training

    def body(*_: object) -> dict[str, Any]:
        monkeypatch.setattr(made.record, "write", Mock(side_effect=Unreachable("does not answer")))
        made.show_progress(spec, 1, 2, "half", trials={"done": 1})
        raise RunError("the loss is not finite")

    with pytest.raises(RunError, match="not finite"):
        made.stage(spec, body)
    monkeypatch.undo()
    assert "the record could not be written: does not answer" in " ".join(said(made))


def test_a_run_begins_with_what_it_is_expected_to_take(
    training: tuple[run.Run, Spec, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, spec, _ = training
    done, stage = Spec("reference", {}, {}), Mock()
    monkeypatch.setattr(run, "planned", lambda plan: {"train": (stage, spec), "reference": (stage, done)})
    monkeypatch.setattr(run.cache, "claimed", lambda store, spec: spec is done)
    monkeypatch.setattr(run.resources, "concurrent_trainings", lambda experiment: 2)
    made.plan, made.experiment = Mock(), Mock(families={})
    made.say_forecast()
    assert said(made) == [], "nothing like it has run on this data"
    estimates = Mock()
    estimates.return_value.seconds.return_value = 90.0
    estimates.return_value.bytes.return_value = 5_000_000
    estimates.return_value.overhead = 0.0
    monkeypatch.setattr(run, "Estimates", estimates)
    made.say_forecast()
    assert "1.5 minutes" in said(made)[0] and "about 5.0 MB in the store" in said(made)[1]
    assert made.to_compute() == [(stage, spec)] and made.has_jobs()
    monkeypatch.setattr(run, "Estimates", Mock(side_effect=OSError("away")))
    made.say_forecast()
    assert said(made)[-1] == "  the forecast could not be made: OSError: away"


def progress(step: int, seconds: float, waited: float, utilisation: float | None) -> dict[str, Any]:
    gpu = {} if utilisation is None else {"gpu": {"memory_gb": 2.0, "utilisation": utilisation}}
    return {"step": step, "steps": 100, "time": seconds, "values": {"loss/vae": 0.5}, "waited": waited, **gpu}


@pytest.mark.parametrize(
    ("waited", "utilisation", "starves"),
    [(4.0, 30.0, True), (4.0, 95.0, False), (0.5, 30.0, False), (4.0, None, False)],
)
def test_a_gpu_that_waits_for_images_is_named_once_and_recorded(
    training: tuple[run.Run, Spec, Store], waited: float, utilisation: float | None, starves: bool
) -> None:
    made, spec, attempt = training
    made.experiment = Mock(training=lambda family: Mock(batch=16))
    display = run.TrainingDisplay(begun=True, updated=float("inf"))
    for content in (progress(10, 100.0, 1.0, utilisation), progress(60, 110.0, 1.0 + waited, utilisation)):
        for _ in range(2):
            attempt.write_json("progress.json", content)
            made._look(spec, attempt, display)
    warnings = [line for line in said(made) if "waiting for images" in line]
    assert len(warnings) == starves
    if starves:
        assert "train dcgan: the GPU works 30 % of the time, and 40 % of a step is waiting" in warnings[0]
    assert display.rates["images_per_second"] == 80.0 and display.rates["data_share"] == waited / 10
    assert ("gpu_utilisation" in display.rates) == (utilisation is not None)
    assert any("60/100 80 images/s  vae 0.5" in line for line in said(made))
    assert said(made).count("  train dcgan: about 8 seconds more") == 1


def test_a_training_that_runs_for_a_setting_of_sampling_says_why() -> None:
    spec = Spec("train", {}, {}, family="diffusion")
    scale, lr = "settings.guidance_scale: 1.5 -> 2.5", "settings.lr: 0.001 -> 0.002"
    assert "by which it draws its snapshots" in run.of_sampling(spec, [scale])
    assert run.of_sampling(spec, [scale, lr]) == run.of_sampling(spec, ["data: version a -> b"]) == ""
    assert run.of_sampling(Spec("evaluate", {}, {}, family="diffusion"), [scale]) == ""
