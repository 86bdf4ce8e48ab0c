"""The list of families is made once for the same code."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from components.families import listing
from models.family import Family
from models.registry import FAMILIES


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mock:
    """Count how often the list is made; the project is a new folder."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    counted = Mock(return_value=[{"name": "vae", "phases": ["elbo"]}])
    monkeypatch.setattr(listing, "describe_families", counted)
    return counted


def test_the_list_is_made_once_and_again_when_the_code_changes(
    made: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = listing.listed_families()
    assert listing.listed_families() == first == made.return_value
    assert made.call_count == 1
    monkeypatch.setattr(listing, "code_key", lambda _: "of other code")
    assert listing.listed_families() == first
    assert made.call_count == 2


def test_families_of_a_program_are_listed_and_not_stored(
    made: Mock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(FAMILIES, "added", type("Added", (Family,), {"__module__": "program"}))
    assert listing.listed_families() == listing.listed_families() == made.return_value
    assert made.call_count == 2 and not (tmp_path / ".atelier").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"key": 1}', "{"])
def test_a_damaged_file_is_replaced(made: Mock, tmp_path: Path, text: str) -> None:
    file = tmp_path / ".atelier" / "families.json"
    file.parent.mkdir()
    file.write_text(text)
    assert listing.listed_families() == made.return_value
    assert json.loads(file.read_text())["families"] == made.return_value


def test_the_key_changes_with_the_code(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    before = listing.code_key(tmp_path)
    (tmp_path / "models" / "vae.py").write_text("x = 1")
    assert listing.code_key(tmp_path) != before
    assert listing.code_key(tmp_path) == listing.code_key(tmp_path)
