"""The table of labels of StyleGAN's tools, in place of classes by folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.data.sources.prepare import add
from tests.data.pictures import fill

ALL = {"train", "validation", "test"}


def exported(root: Path, value: Any, n: int = 40) -> Path:
    """Make a folder as these tools write it: files in folders of some each, and their table."""
    fill(root / "00000", n // 2)
    fill(root / "00001", n // 2, first=n // 2)
    (root / "dataset.json").write_text(json.dumps(value))
    return root


def rows(label: Any, n: int = 40) -> list[list[Any]]:
    return [[f"{2 * i // n:05d}/{i:03d}.png", label(i)] for i in range(n)]


@pytest.mark.parametrize("inside", ["", "unpacked"])
@pytest.mark.parametrize("label", [lambda i: 3 * (i % 2), lambda i: [0, 1][:: 1 if i % 2 else -1]])
def test_classes_are_those_of_the_table(tmp_path: Path, inside: str, label: Any) -> None:
    exported(tmp_path / "set" / inside, {"labels": rows(label)})
    card = add("mine", tmp_path / "set", tmp_path / "home")
    assert card.labels in (["0", "3"], ["0", "1"])
    assert [sum(counts) for counts in zip(*(card.label_counts or {}).values(), strict=True)] == [20, 20]
    assert "classes are those of dataset.json, not the folders" in card.notes


def test_without_labels_the_folders_are_no_classes(tmp_path: Path) -> None:
    card = add("mine", exported(tmp_path / "set", {"labels": None}), tmp_path / "home")
    assert card.labels is None and sum(card.counts.values()) == 40
    assert "no classes, as dataset.json says: the folders are none" in card.notes


def test_images_that_the_table_lacks_are_counted(tmp_path: Path) -> None:
    folder = exported(tmp_path / "set", {"labels": rows(lambda i: i % 2)[:35]})
    assert add("mine", folder, tmp_path / "home").skipped == {"no label in dataset.json": 5}


def test_the_folders_are_read_if_asked_for_or_if_the_table_is_another_tools(tmp_path: Path) -> None:
    folder = exported(tmp_path / "set", {"labels": rows(lambda i: i % 2)})
    assert add("mine", folder, tmp_path / "home", layout="classes").labels == ["00000", "00001"]
    (folder / "dataset.json").write_text('{"name": "mine"}')
    with pytest.raises(InputError, match="00000, 00001 are probably no classes"):
        add("mine", folder, tmp_path / "home")
    assert add("mine", folder, tmp_path / "home", layout="none").labels is None


@pytest.mark.parametrize(
    "value", ["{", '{"labels": 3}', '{"labels": [["a", "cat"]]}', '{"labels": [["a", [0, 2]]]}']
)
def test_other_labels_are_refused(tmp_path: Path, value: str) -> None:
    folder = exported(tmp_path / "set", None)
    (folder / "dataset.json").write_text(value)
    with pytest.raises(InputError, match=r"dataset\.json .*--layout classes"):
        add("mine", folder, tmp_path / "home")
