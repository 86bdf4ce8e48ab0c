"""What runs, trainings, evaluations and health record is read back; what is torn is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from components.records.base import Record
from components.records.evaluation import Checkpoint, Evaluation, MetricResult, Neighbours, Stability
from components.records.health import HealthEvent, Monitoring, TrainingHealth, Treatment
from components.records.run import (
    DataLineage,
    FamilyResult,
    Lineage,
    Overhead,
    RunHead,
    RunManifest,
    StageEntry,
    TableRow,
)
from components.records.training import Averages, SampleTable, SavedWeights, Selection, TrainingResult

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ENTIRE: tuple[type[Record], ...] = (RunManifest, TrainingResult, Evaluation, HealthEvent, Monitoring)

TEXT = st.text(max_size=5)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.dictionaries(TEXT, FINITE | st.none(), max_size=2)
METRICS = st.dictionaries(
    TEXT,
    st.builds(MetricResult, value=FINITE, low=FINITE, n=st.integers(), note=TEXT, classes=NUMBERS),
    max_size=2,
)
CHECKPOINTS = st.dictionaries(TEXT, st.builds(Checkpoint, step=st.integers(), metrics=METRICS), max_size=2)
TREATMENTS = st.builds(Treatment, remedy=TEXT, change=st.dictionaries(TEXT, FINITE | TEXT | st.none()))
EVENTS = st.builds(
    HealthEvent,
    step=st.integers(),
    attempt=st.integers(),
    evidence=st.dictionaries(TEXT, st.floats()),
    treatment=st.none() | TREATMENTS,
)
STAGES = st.builds(
    StageEntry, name=TEXT, family=st.none() | TEXT, attempt=st.none() | st.integers(), seconds=FINITE
)
RESULTS = st.builds(
    FamilyResult,
    family=TEXT,
    metrics=METRICS,
    checkpoints=CHECKPOINTS,
    selected_by=st.builds(Selection, metric=TEXT, n=st.integers()),
    stability=st.builds(Stability, regression_ratio=FINITE, best_step=st.integers()),
    neighbours=st.none() | st.builds(Neighbours, distances=st.lists(FINITE, max_size=2)),
    curve=st.lists(NUMBERS, max_size=2),
)
RUNS = st.builds(
    RunManifest,
    run_id=TEXT,
    stages=st.lists(STAGES, max_size=2),
    results=st.lists(RESULTS, max_size=2),
    table=st.lists(st.builds(TableRow, family=TEXT, quality=NUMBERS, rank=st.integers() | TEXT), max_size=2),
    overhead=st.none() | st.builds(Overhead, seconds=FINITE),
    lineage=st.builds(Lineage, data=st.builds(DataLineage, counts=st.just({"train": 3}))),
)
TRAININGS = st.builds(
    TrainingResult,
    checkpoints=st.dictionaries(TEXT, st.builds(SavedWeights, step=st.integers(), model=TEXT), max_size=2),
    averages=st.builds(Averages, won=FINITE, curve=st.lists(NUMBERS, max_size=2)),
    terms=NUMBERS,
    health=st.builds(TrainingHealth, events=st.lists(EVENTS, max_size=2)),
    samples=st.builds(SampleTable, count=st.integers(), titles=st.lists(TEXT, max_size=2)),
)


@settings(deadline=None, max_examples=30)
@given(record=RUNS | TRAININGS | EVENTS)
def test_what_is_written_is_read(record: Record) -> None:
    assert type(record).read(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record


@settings(deadline=None, max_examples=60)
@given(data=st.data(), value=JSON)
def test_reading_never_raises(data: st.DataObject, value: Any) -> None:
    kind = data.draw(st.sampled_from(ENTIRE))
    kind.read(value)
    needed = {"run_id": "r", "step": 1, "attempt": 1}
    names = data.draw(st.sets(st.sampled_from(sorted(kind.model_fields)), max_size=3)) - needed.keys()
    assert kind.read(needed | dict.fromkeys(names, value)) is not None


def test_a_record_is_shown_in_few_words() -> None:
    result = FamilyResult(family="vae", metrics={"kid": MetricResult(value=0.5)})
    stages = [StageEntry(name="train", family="vae")] * 99
    run = RunManifest(run_id="r", status="done", results=[result], stages=stages)
    expected = "RunManifest(run_id='r', status='done', families=['vae'], measures={'vae': 'kid 0.5'})"
    assert repr(run) == expected


def test_torn_parts_of_a_manifest_are_left_out() -> None:
    metrics = {"kid": {"value": 0.5, "n": "many"}, "fid": {"value": None}, "lpips": 3}
    run = RunManifest.read(
        {
            "run_id": "r",
            "status": 3,
            "stages": [{"name": "train", "attempt": "1"}, {"family": "vae"}, None],
            "results": [{"family": "vae", "metrics": metrics, "checkpoints": {"last": {}}}, {}],
            "lineage": {"data": 3, "config": {"families": 3}},
        }
    )
    assert run is not None and run.status == "running" and run.lineage.families == {}
    assert run.stages == [StageEntry(name="train")] and run.stages[0].folder == ""
    assert run.results == [FamilyResult(family="vae", metrics={"kid": MetricResult(value=0.5)})]


def test_a_manifest_knows_the_folders_of_its_stages() -> None:
    run = RunManifest(
        run_id="r",
        stages=[
            StageEntry(name="prepare", uri="store/prepare/k", attempt=2, state="cached"),
            StageEntry(name="train", family="vae", uri="store/train/k", key="k1", state="failed"),
            StageEntry(name="export", family="vae", uri="store/export/k", attempt=1, state="ran"),
            StageEntry(name="train", family="diffusion", upstream=["k1"]),
        ],
    )
    assert run.folder("prepare") == "store/prepare/k/attempts/2"
    assert run.models == {"vae": "store/export/k/attempts/1"}
    assert run.families == ["vae", "diffusion"] and [s.title for s in run.failed] == ["train vae"]
    assert [run.builds_on(stage) for stage in run.stages] == [[], [], [], ["vae"]]
    with pytest.raises(InputError, match="run r has no finished stage reference"):
        run.folder("reference")


def test_a_list_of_runs_reads_no_more_than_it_shows() -> None:
    run = RunManifest(run_id="r", status="done", stages=[StageEntry(name="prepare")])
    assert RunHead.read(run.to_json()) == RunHead(run_id="r", status="done")
