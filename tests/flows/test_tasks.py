"""A Prefect task for each stage, and what a run records once one is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.pipeline.graph import STAGES
from components.records.run import Comparison, TableRow
from flows import tasks


def test_each_stage_has_a_task_of_its_name_that_prefect_neither_retries_nor_caches() -> None:
    assert list(tasks.TASKS) == [stage.name for stage in STAGES]
    for name, task in tasks.TASKS.items():
        assert task.name == name and task.retries == 0 and task.cache_policy == tasks.NO_CACHE
    assert "{family}" in str(tasks.TASKS["train"].task_run_name)
    assert tasks.TASKS["prepare"].task_run_name == "prepare"


def test_only_stages_that_exist_have_something_to_show() -> None:
    assert set(tasks.AFTER) <= set(tasks.TASKS)


def test_a_table_without_rows_goes_to_the_record_and_not_to_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    record: dict[str, Any] = {}
    artifacts: list[Any] = []
    monkeypatch.setattr(tasks, "create_table_artifact", lambda rows, **_: artifacts.append(rows))
    row = TableRow(family="vae", quality={"kid": 1.0}, speed={"seconds": 2.0})
    for table in ([], [row]):
        result = Comparison(results=[], table=table).to_json()
        monkeypatch.setattr(tasks, "read", lambda store, done, result=result: result)
        run: Any = SimpleNamespace(store=None, record=SimpleNamespace(update=record.update), run_id="1")
        tasks.show_table(run, SimpleNamespace())  # type: ignore[arg-type]
        assert record == {"results": [], "table": table}
    assert artifacts == [[{"family": "vae", "kid": 1.0, "seconds": 2.0}]]
