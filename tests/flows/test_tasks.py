"""A Prefect task for each stage, and what Prefect shows of its result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.pipeline.graph import STAGES
from components.records.run import TableRow
from flows import tasks


def test_each_stage_has_a_task_of_its_name_that_prefect_neither_retries_nor_caches() -> None:
    assert list(tasks.TASKS) == [stage.name for stage in STAGES]
    for name, task in tasks.TASKS.items():
        assert task.name == name and task.retries == 0 and task.cache_policy == tasks.NO_CACHE
    assert "{family}" in str(tasks.TASKS["train"].task_run_name)
    assert tasks.TASKS["prepare"].task_run_name == "prepare"


def test_only_stages_that_exist_have_artifacts() -> None:
    assert set(tasks.ARTIFACTS) <= set(tasks.TASKS)


def test_a_table_without_rows_does_not_go_to_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts: list[Any] = []
    monkeypatch.setattr(tasks, "create_table_artifact", lambda rows, **_: artifacts.append(rows))
    for table in ([], [TableRow(family="vae", quality={"kid": 1.0}, speed={"seconds": 2.0})]):
        run: Any = SimpleNamespace(record=SimpleNamespace(manifest=SimpleNamespace(table=table)), run_id="1")
        tasks.show_table(run)
    assert artifacts == [[{"family": "vae", "kid": 1.0, "seconds": 2.0}]]
