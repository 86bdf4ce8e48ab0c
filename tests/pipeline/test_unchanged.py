"""Whether a run would compute anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.pipeline import graph, unchanged
from components.records.stored import StoredResult, Success
from components.stages.spec import Spec
from components.store import Store
from tests.pipeline.test_check import plan

SMALL = {"dcgan": {"width": 8, "latent": 8}}


def finish(store: Store, spec: Spec, run_id: str, started: float) -> None:
    """Let a stage have a result."""
    result = StoredResult(
        stage=spec.stage, key=spec.key, attempt=1, run_id=run_id,
        started=started, ended=started + 1, seconds=1.0, work_seconds=1.0, files=[],
    )  # fmt: skip
    store.write_json(f"{spec.uri}/_SUCCESS", Success(attempt=1).to_json())
    store.write_json(f"{spec.uri}/attempts/1/result.json", result.to_json())


def test_nothing_is_new_once_each_stage_has_its_result(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = plan(store, SMALL)
    specs = [spec for _, spec in graph.planned(made).values()]
    for number, spec in enumerate(specs):
        assert unchanged.made_by(made, store) is None, "the last is missing"
        finish(store, spec, f"run{number}", 10.0 - number)
    assert unchanged.made_by(made, store) == "run0", "the newest"
    assert unchanged.made_by(plan(store, {"dcgan": {"width": 16, "latent": 8}}), store) is None


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}"])
def test_a_result_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    store = Store(str(tmp_path))
    made = plan(store, SMALL)
    for _, spec in graph.planned(made).values():
        finish(store, spec, "run", 1.0)
    assert unchanged.made_by(made, store) == "run"
    store.write_bytes(f"{spec.uri}/attempts/1/result.json", content)
    assert unchanged.made_by(made, store) is None
