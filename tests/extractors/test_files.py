"""Files of an extractor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.common.hashing import digest
from components.extractors.files import copy_weights, verified, write_config


def test_the_hash_depends_on_what_changes_features_and_on_nothing_else(tmp_path: Path) -> None:
    first = write_config(tmp_path, "a", "weights", "as they are", {"epochs": 1}, accuracy=0.9)
    assert json.loads((tmp_path / "config.json").read_text()) == first.to_json() and first.accuracy == 0.9
    assert write_config(tmp_path, "a", "weights", "as they are", {"epochs": 1}).hash == first.hash
    changes = [("b", "weights", "as they are", {"epochs": 1}), ("a", "others", "as they are", {"epochs": 1})]
    changes += [("a", "weights", "resized", {"epochs": 1}), ("a", "weights", "as they are", {"epochs": 2})]
    assert len({write_config(tmp_path, *change).hash for change in changes} | {first.hash}) == 5


def test_weights_that_changed_are_refused(tmp_path: Path) -> None:
    weights, copy = tmp_path / "weights", tmp_path / "below" / "copy"
    weights.write_bytes(b"weights")
    copy_weights(weights, copy)
    sha256 = digest(weights, "sha256")
    assert verified(copy, sha256) == copy
    copy.write_bytes(b"other weights")
    for file in (copy, tmp_path / "missing"):
        with pytest.raises(InputError, match="missing or changed"):
            verified(file, sha256)
