"""A Prefect task for each stage, and what a run records once one is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.pipeline.graph import STAGES
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
    row = {"family": "vae", "quality": {"kid": 1.0}, "speed": {"seconds": 2.0}}
    done: Any = SimpleNamespace(uri="store/compare/k")
    for table in ([], [row]):
        result = {"results": [], "table": table}
        store = SimpleNamespace(read_json=lambda _, result=result: result)
        run: Any = SimpleNamespace(store=store, record=SimpleNamespace(update=record.update), run_id="1")
        tasks.show_table(run, done)
        assert record == result
    assert artifacts == [[{"family": "vae", "kid": 1.0, "seconds": 2.0}]]
