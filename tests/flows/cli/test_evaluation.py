"""`atelier extractor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.registry import pins
from components.store import Store
from flows import evaluate
from tests.flows.cli.test_app import call


def test_pinned_extractors_are_listed_with_the_one_in_use(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["extractor", "status", "digits", "--store", str(tmp_path)]
    assert "no extractor is pinned for digits" in call(capsys, *command)[1]
    about: dict[str, Any] = {"hash": "h", "data": "d", "run_id": "r", "reason": "the first"}
    for number in (0, 1):
        pins.pin(Store(str(tmp_path)), "digits", "classifier-8", after=number, key=f"k{number}", **about)
    rows = json.loads(call(capsys, *command, "--json")[1])
    assert [(row["number"], row["in_use"]) for row in rows] == [(1, False), (2, True)]


@pytest.mark.parametrize(("changed", "words"), [(True, "is pinned as number 2"), (False, "nothing to do")])
def test_retraining_says_whether_older_numbers_still_compare(
    changed: bool,
    words: str,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pin = {"changed": changed, "hash": "0123456789", "number": 2}
    monkeypatch.setattr(evaluate, "retrain_extractor", lambda *_: pin)
    assert words in call(capsys, "extractor", "retrain", "digits", "--store", str(tmp_path))[1]
