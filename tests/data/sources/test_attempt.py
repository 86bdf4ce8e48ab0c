"""What is made of a file, or why it is unusable."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from components.data.sources import attempt as module
from components.data.sources.attempt import attempt
from components.data.sources.images import BadImage


def test_a_result_has_the_hash_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert attempt(tmp_path, "a", len) == ("a", hashlib.sha256(b"abc").hexdigest(), 3)


def test_a_reason_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> int:
        raise BadImage("odd")

    def torn(data: bytes) -> int:
        raise OSError("truncated")

    (tmp_path / "a").write_bytes(b"abc")
    assert attempt(tmp_path, "a", refuse) == ("a", "", "odd")
    assert attempt(tmp_path, "a", torn) == attempt(tmp_path, "a", torn) == ("a", "", "cannot be read")
    assert attempt(tmp_path, "b", len) == ("b", "", "cannot be read")
    monkeypatch.setattr(module, "FILE_BYTES", 2)
    assert attempt(tmp_path, "a", len) == ("a", "", "larger than 0 MB")
