"""Lists of runs and families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.cli.test_app import call


def test_families_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "families", "--json")
    rows = json.loads(out)
    assert code == 0 and {row["name"] for row in rows} >= {"autoencoder", "vae", "dcgan", "diffusion"}
    for row in rows:
        assert {"name", "paper", "needs", "phases"} <= set(row) and row["phases"] and "http" in row["paper"]


def test_lists_for_people(
    home: Path, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "autoencoder" in call(capsys, "families")[1]
    assert "digits" in call(capsys, "data", "list")[1]
    assert "digits" in call(capsys, "data", "status")[1]
    assert call(capsys, "data", "versions", "digits")[0] == 0
    assert call(capsys, "runs", "--store", str(tmp_path))[0] == 0
