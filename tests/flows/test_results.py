"""What a run records once a stage is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.pipeline.graph import STAGES
from components.records.run import Comparison, TableRow
from flows import results


def test_only_stages_that_exist_are_recorded() -> None:
    assert set(results.RECORDED) <= {stage.name for stage in STAGES}


@pytest.mark.parametrize(
    ("stage", "result", "recorded"),
    [
        ("compare", Comparison(results=[], table=[]).to_json(), {"results": [], "table": []}),
        ("compare", Comparison(results=[], table=[TableRow(family="vae")]).to_json(), None),
        ("report", {"page": "runs/1/report/index.html"}, {"report": "runs/1/report/index.html"}),
        ("publish", {"published": "memory://x"}, {"published": "memory://x"}),
        ("train", {"steps": 1}, {}),
    ],
)
def test_the_result_goes_to_the_record(
    monkeypatch: pytest.MonkeyPatch, stage: str, result: Any, recorded: Any
) -> None:
    record: dict[str, Any] = {}
    monkeypatch.setattr(results, "read", lambda store, done: result)
    run: Any = SimpleNamespace(store=None, record=SimpleNamespace(update=record.update))
    done: Any = SimpleNamespace(stage=stage)
    results.record_result(run, done)
    assert record == ({"results": [], "table": [TableRow(family="vae")]} if recorded is None else recorded)
