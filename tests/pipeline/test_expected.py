"""What a plan expects of its stages: scaled from earlier full runs on this data, never from smoke runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.pipeline.expected import Estimates, disk, forecast
from components.records.run import DataLineage, Lineage, Overhead, RunManifest, StageEntry
from components.stages.spec import Spec
from components.store import Store

SNAPSHOTS = {"num_snapshots": 3, "snapshot_samples": 20, "sample_images": 5}  # 4 of 25 images
TRAIN = {"steps": 50, "batch": 6} | SNAPSHOTS  # 3 * 50 * 6 evaluations, and 100
SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"train": TRAIN},
    "evaluate": {"samples": 1000},
    "ablation": {"samples": 50, "studies": [{"variants": {"a": {}, "b": {}}}]},
    "latent_analysis": {"images": 5000},
    "anomaly_models": {"train": TRAIN, "held_out_classes": ["a", "b"]},
    "reference": {"samples": 1000},
}
PLAN: Any = SimpleNamespace(
    version="v1", device="cpu", card=SimpleNamespace(counts={"train": 400, "test": 100})
)


def recorded(store: Store, run_id: str, seconds: float, *, version: str = "v1", **others: Any) -> None:
    """The record of a run whose stages all took so many seconds."""
    stages = []
    for name, settings in SETTINGS.items():
        family = None if name == "reference" else "vae"
        spec = Spec(name, settings, {"of": run_id}, family=family, data=version)
        store.write_json(f"{spec.uri}/spec.json", spec.canonical())
        stages.append(StageEntry(name=name, family=family, state="ran", uri=spec.uri, seconds=seconds))
    lineage = Lineage(data=DataLineage(version=version))
    manifest = RunManifest(run_id=run_id, stages=stages, lineage=lineage, **others)
    store.write_json(f"runs/{run_id}/run.json", manifest.to_json())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    recorded(store, "1", 900.0)
    recorded(store, "2", 10.0, overhead=Overhead(seconds=40.0))
    recorded(store, "3", 500.0, smoke=True, overhead=Overhead(seconds=90.0))
    recorded(store, "4", 700.0, version="v2")
    store.write_text("runs/5/run.json", "half")
    return store


@pytest.mark.parametrize(
    ("stage", "changes", "seconds"),
    [
        ("train", {}, 10.0),
        ("train", {"train": TRAIN | {"steps": 500, "batch": 6}}, 91.0),
        ("train", {"sampler": "heun", "sampler_steps": 18}, 45.0),
        ("evaluate", {"samples": 50}, 5.0),
        ("evaluate", {"samples": 5000}, 10.0),
        ("ablation", {"samples": 100}, 20.0),
        ("ablation", {"studies": [{"variants": {"a": {}}}]}, 5.0),
        ("latent_analysis", {"images": 200}, 5.0),
        ("anomaly_models", {"train": TRAIN | {"num_snapshots": 43}}, 20.0),
        ("anomaly_models", {"held_out_classes": ["a"]}, 5.0),
        ("reference", {"samples": 8}, 10.0),
    ],
)
def test_the_newest_full_run_on_this_data_is_scaled(
    store: Store, stage: str, changes: dict[str, Any], seconds: float
) -> None:
    family = None if stage == "reference" else "vae"
    spec = Spec(stage, SETTINGS[stage] | changes, {}, family=family)
    assert Estimates(PLAN, store).seconds(spec) == pytest.approx(seconds)


def test_the_time_to_start_is_that_of_the_newest_full_run(store: Store, tmp_path: Path) -> None:
    assert Estimates(PLAN, store).overhead == 40.0
    assert Estimates(PLAN, Store(str(tmp_path / "new"))).overhead == 0.0


def test_what_never_ran_is_unknown(store: Store) -> None:
    assert Estimates(PLAN, store).seconds(Spec("train", SETTINGS["train"], {}, family="gan")) is None
    other: Any = SimpleNamespace(**{**vars(PLAN), "device": "cuda"})
    assert Estimates(other, store).seconds(Spec("train", SETTINGS["train"], {}, family="vae")) is None


def test_the_space_that_earlier_results_take_is_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [Spec("train", SETTINGS["train"], {}, family=family) for family in ("vae", "gan")]
    estimates = Estimates(PLAN, store)
    store.write_bytes(f"{estimates.earlier['train', 'vae'].uri}/attempts/1/model/weights", bytes(3_000_000))
    assert 3_000_000 < estimates.bytes(specs) < 3_010_000, "that of the gan is not known"
    assert disk(3_000_000) == ["about 3.0 MB in the store, as earlier results take"] and disk(0) == []
    assert disk(3_000_000, partial=True) == ["at least 3.0 MB in the store, as earlier results take"]
    monkeypatch.setattr(Store, "is_local", False)
    assert Estimates(PLAN, store).bytes(specs) == 0, "which would take a listing of much"


def test_a_forecast_names_its_parts_and_what_is_unknown() -> None:
    rows = [("train vae", 60.0), ("evaluate vae", 90.0), ("ablation vae", 30.0), ("reference", 6.0)]
    assert forecast(rows).sentences == [
        "expected: 3.1 minutes of work, of which 1.0 minutes of training and 2.0 minutes of evaluation, "
        "scaled from earlier results on this data; 3.1 minutes from start to end, with families "
        "side by side",
        "evaluation takes longer than training: lower evaluate.samples and evaluate.ablation_samples",
    ]
    assert len(forecast(rows, smoke=True).sentences) == 1, "its settings are not those of the config"
    unknown = [(f"train {i}", None) for i in range(6)]
    assert forecast(unknown).sentences == [
        "unknown: how long it takes, since none of these 6 stages has run in full on this data yet"
    ]
    assert forecast([("reference", 6.0), *unknown]).sentences[-1] == (
        "unknown: train 0, train 1, train 2, train 3 and 2 more, which never ran on this data"
    )
    assert forecast(unknown[:2]).sentences == ["unknown: train 0, train 1, which never ran on this data"]
    assert forecast([]).sentences == []
    partly, _ = forecast([("reference", 60.0), ("train vae", None)]).sentences
    assert partly == (
        "expected: at least 1.0 minutes of work, scaled from earlier results on this data; at least 1.0 "
        "minutes from start to end, with families side by side"
    )


def test_families_side_by_side_end_earlier() -> None:
    rows = [
        ("reference", 10.0),
        ("train a", 60.0),
        ("train b", 20.0),
        ("evaluate b", 10.0),
        ("train c", 30.0),
    ]
    assert [forecast(rows, cores).elapsed for cores in (1, 2, 3)] == [130.0, 70.0, 70.0]
    assert forecast([("reference", 10.0)], 2).elapsed == 10.0
    assert forecast([("reference", 10.0)], overhead=5.0).elapsed == 15.0
