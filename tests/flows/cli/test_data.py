"""`atelier data`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.data.card import DatasetCard
from flows.cli import data
from tests.flows.cli.test_app import call


def test_versions_and_status_are_lists(home: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "data", "versions", "digits", "--json")
    assert code == 0 and [row["version"].endswith(".dir") for row in json.loads(out)] == [True]
    sets: list[dict[str, Any]] = json.loads(call(capsys, "data", "status", "--json")[1])
    assert "digits" in [value for row in sets for value in row.values()]
    (row,) = [row for row in json.loads(call(capsys, "data", "list", "--json")[1]) if row["name"] == "digits"]
    assert row["prepared"] and sum(row["counts"].values()) == sum(DatasetCard.read(digits).counts.values())


def test_what_was_prepared_and_what_was_left_out_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    card = SimpleNamespace(
        name="x",
        counts={"train": 1200, "test": 8},
        labels=None,
        sources=None,
        channels=3,
        resolution=32,
        skipped={"broken": 2},
    )
    data.show_prepared(card, "0123456789abcdef.dir")
    out, err = capsys.readouterr()
    assert out == "x: 1,200 train, 8 test; 3x32x32, unlabelled; version 0123456789\n"
    assert err == "  skipped 2: broken\n"
