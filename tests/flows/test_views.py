"""What the terminal shows of plans and runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.metrics import distances
from components.records.ablation import Ablation, AblationResult, Ablations, Variant
from components.records.evaluation import ExternalEvaluation, MetricResult
from components.records.run import DataLineage, FamilyResult, Lineage, RunManifest, StageEntry
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


def stored_run(store: Store, run_id: str, command: str, *, lr: float, data: str) -> RunManifest:
    """A run of dcgan whose training has been computed."""
    spec = Spec("train", {"lr": lr}, {}, family="dcgan", data=data)
    store.write_json(f"{spec.uri}/spec.json", spec.canonical())
    stage = StageEntry(name="train", family="dcgan", key=spec.key, uri=spec.uri, state="ran")
    lineage = Lineage(
        data=DataLineage(name="shelf", version=data), config={"families": {"dcgan": {"lr": lr}}}
    )
    run = RunManifest(run_id=run_id, command=command, stages=[stage], lineage=lineage)
    store.write_json(f"runs/{run_id}/run.json", run.to_json())
    return run


@pytest.mark.parametrize(
    "command",
    ["scheduled nightly: nightly.yaml", "scheduled hourly: nightly.yaml", "atelier run nightly.yaml"],
)
def test_a_run_is_compared_with_what_it_repeats_not_with_a_trial_by_hand(
    command: str, tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    stored_run(store, "1", "scheduled nightly: nightly.yaml", lr=0.001, data="v1")
    stored_run(store, "2", "atelier run nightly.yaml --set families.dcgan.lr=5e-4", lr=0.0005, data="v1")
    run = stored_run(store, "3", command, lr=0.001, data="v2")
    assert views.explanation(store, run) == [("train dcgan", "ran", "data: version v1 -> v2")]


def test_runs_on_other_data_explain_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    runs = []
    for run_id, name in (("1", "shelf"), ("2", "digits")):
        run = stored_run(store, run_id, "atelier run", lr=0.001, data=name)
        lineage = run.lineage.model_copy(update={"data": DataLineage(name=name)})
        runs.append(run.model_copy(update={"lineage": lineage}))
        store.write_json(f"runs/{run_id}/run.json", runs[-1].to_json())
    assert views.explanation(store, runs[1])[0][2] == "never done before on digits"


def test_a_schedule_whose_settings_changed_is_compared_with_its_last_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stored_run(store, "1", "atelier run nightly.yaml", lr=0.002, data="v1")
    stored_run(store, "2", "scheduled nightly: nightly.yaml", lr=0.001, data="v1")
    run = stored_run(store, "3", "scheduled nightly: nightly.yaml", lr=0.002, data="v2")
    assert views.explanation(store, run)[0][2] == "data: version v1 -> v2; settings.lr: 0.001 -> 0.002"


def test_a_plan_knows_which_run_is_at_a_stage(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for run_id, heartbeat in (("alive", datetime.now(UTC)), ("dead", datetime(2026, 1, 1, tzinfo=UTC))):
        stages = [
            StageEntry(name="train", family=state, key=f"{run_id}-{state}", state=state)
            for state in ("ran", "running", "waiting")
        ]
        run = RunManifest(run_id=run_id, heartbeat=heartbeat.isoformat(), stages=stages)
        store.write_json(f"runs/{run_id}/run.json", run.to_json())
    assert views.under_way(store) == {"alive-running": "alive"}


def test_a_plan_says_that_the_data_has_another_version_and_since_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    plan: Any = SimpleNamespace(version="v2" * 10, card=SimpleNamespace(name="shelf"))
    rows = [{"version": "v2" * 10, "when": "2026-11-30T22:05:00+01:00"}]
    monkeypatch.setattr(views.pins, "versions", lambda *_: rows)
    assert views.data_changed(plan, store) == []
    stored_run(store, "1", "atelier run", lr=0.001, data="v1" * 10)
    assert views.data_changed(plan, store) == [
        "data set shelf is at another version than in its newest run: v2v2v2v2v2, since 2026-11-30 21:05 "
        "UTC; run 1 had v1v1v1v1v1"
    ]
    stored_run(store, "2", "atelier run", lr=0.001, data="v2" * 10)
    assert views.data_changed(plan, store) == []


def test_the_best_result_is_what_to_look_at_next_where_nothing_is_blessed() -> None:
    def result(family: str, value: float, **changes: Any) -> FamilyResult:
        metric = MetricResult(value=value, n=35, note="35 images are few", **changes)
        return FamilyResult(family=family, task="generate", metrics={"kid": metric})

    results = [result("dcgan", 0.3), result("diffusion", 0.1), FamilyResult(family="autoencoder", task="x")]
    run = RunManifest(run_id="r", results=results)
    assert "atelier sample r diffusion -n 16" in views.next_command(run)
    results[0] = result("dcgan", 0.3, comparability="another")
    run = RunManifest(run_id="r", results=results)
    assert "atelier sample r dcgan" in views.next_command(run), "values that do not compare"


BIASED = "mostly bias: 88 images for 64 features; rank by KID"


def doubtful(**more: MetricResult) -> dict[str, MetricResult]:
    distance = MetricResult(value=9.21, real_baseline=5.0, n=88, note=BIASED)
    return {"frechet_distance": distance, "kid": MetricResult(value=0.1235, real_baseline=0.0, n=88), **more}


def test_the_metric_that_ranks_stands_first_and_doubtful_ones_are_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precise = MetricResult(value=0.06329, real_baseline=0.81, better="higher")
    result = FamilyResult(family="vae", task="generate", metrics=doubtful(precision=precise))
    views.show(RunManifest(run_id="r", status="done", results=[result]), Store(str(tmp_path)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["family", "KID", "Fréchet"]
    assert lines[2].split()[:6] == ["vae", "0.123", "9.21", "*", "6.3", "%"], "percent as on the page"
    assert lines[3].split()[:6] == ["real", "images", "0", "5", "81.0", "%"]
    assert f"* Fréchet distance: {BIASED}" in lines


def test_settings_of_sampling_that_are_better_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sampled(steps: int, kid: float) -> Variant:
        return Variant(
            name=f"{steps}", change={"sampler_steps": steps}, metrics={"kid": MetricResult(value=kid)}
        )

    store = Store(str(tmp_path))
    studies = [Ablation(name="steps", title="", variants=[sampled(12, 3.0), sampled(50, 0.6)])]
    result = AblationResult(studied=Ablations(n=25, studies=studies))
    store.write_json("store/ablation/k/attempts/1/result.json", result.to_json())
    run = RunManifest(
        run_id="r",
        status="done",
        lineage=Lineage(config={"families": {"diffusion": {"sampler_steps": 12}}}),
        results=[FamilyResult(family="diffusion", task="generate", metrics=doubtful())],
        stages=[StageEntry(name="ablation", family="diffusion", key="k", uri="store/ablation/k", attempt=1)],
    )
    views.show(run, store)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("better settings")]
    assert "diffusion has a KID of 0.600 with families.diffusion.sampler_steps=50, but of 3.00" in line


def test_images_that_were_made_elsewhere_are_shown_alike(capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = MetricResult(value=0.43, low=0.327, high=0.54, n=88, better="higher")
    evaluation = ExternalEvaluation(
        source="others", images=88, data="d", version="v", split="test", preparation="as they are",
        labelled=False, metrics=doubtful(conditional_accuracy=accuracy),
        warnings=["74.0 % of the images are copies"],
    )  # fmt: skip
    views.show_judged(evaluation)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("KID ") and lines[3].startswith("Fréchet distance *")
    assert lines[4].split()[:3] == ["Label", "accuracy", "43.0"] and "32.7 to 54.0\u00a0%" in lines[4]
    assert f"* Fréchet distance: {BIASED}" in lines and "74.0 % of the images are copies" in lines


def test_intervals_need_as_many_images_as_the_terminal_says() -> None:
    assert views.FOR_INTERVALS == distances.ROWS * distances.GROUPS


def test_the_number_of_new_images_is_said(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def run(run_id: str, version: str, images: int, **more: bool) -> RunManifest:
        data = DataLineage(name="mine", version=version, counts={"train": images - 80, "test": 80})
        manifest = RunManifest(run_id=run_id, lineage=Lineage(data=data), **more)
        store.write_json(f"runs/{run_id}/run.json", manifest.to_json())
        return manifest

    assert views.images_changed(store, run("a", "v1", 400)) == ""
    run("b", "v9", 100, smoke=True)
    assert views.images_changed(store, run("c", "v2", 1401)) == "data set mine: 400 -> 1,401 images"
    assert views.images_changed(store, run("d", "v2", 1401)) == ""


def test_a_judge_that_recognises_few_real_images_is_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = FamilyResult(family="vae", task="generate", metrics=doubtful(), judge_accuracy=0.58)
    views.show(RunManifest(run_id="r", status="done", results=[result]), Store(str(tmp_path)))
    assert "recognises the class of only 58% of real images" in capsys.readouterr().out
