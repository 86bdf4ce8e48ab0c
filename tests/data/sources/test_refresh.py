"""The source of an added data set is read again, and only if it has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.local import data_version
from components.data.sources import refresh as module
from components.data.sources.prepare import add, addition_record
from components.data.sources.refresh import fingerprint, refresh
from components.data.versioning import pins
from tests.flows.driver import pngs


@pytest.fixture
def added(tmp_path: Path) -> Path:
    """A folder of images that was added as data set `mine` of the project tmp_path."""
    images = np.random.default_rng(0).integers(0, 256, (24, 1, 8, 8), np.uint8)
    folder = pngs(tmp_path / "images", images)
    add("mine", folder, tmp_path, resolution=8, licence="CC0")
    return folder


def test_only_a_changed_source_is_read_and_makes_a_version(
    added: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = data_version(tmp_path, "mine", None)
    calls = mock.Mock(wraps=add)
    monkeypatch.setattr(module, "add", calls)
    assert not refresh(tmp_path, "mine") and calls.call_count == 1, "nothing was stated of it before"
    assert not refresh(tmp_path, "mine") and calls.call_count == 1
    image = sorted(added.iterdir())[0]
    os.utime(image, (1, 1))
    assert not refresh(tmp_path, "mine") and calls.call_count == 2, "the same images at another time"
    image.write_bytes(sorted(added.iterdir())[1].read_bytes())
    assert refresh(tmp_path, "mine")
    _, second = data_version(tmp_path, "mine", None, refreshed=True)
    assert second != first and pins.pinned(tmp_path, "mine") == second
    options = calls.call_args.kwargs
    assert (options["resolution"], options["licence"], options["source"]) == (8, "CC0", str(added))
    assert data_version(tmp_path, "mine", first[:10], refreshed=True)[1] == first


def test_a_set_of_unknown_source_is_one_sentence(added: Path, tmp_path: Path) -> None:
    assert not refresh(tmp_path, "digits")
    addition_record(tmp_path, "mine").unlink()
    with pytest.raises(InputError, match="mine was not added on this machine, so its source is not known"):
        refresh(tmp_path, "mine")


def test_a_source_that_is_gone_is_one_sentence(added: Path, tmp_path: Path) -> None:
    data_version(tmp_path, "mine", None)
    added.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="images does not exist"):
        refresh(tmp_path, "mine")


def test_files_of_which_nothing_is_stated_have_no_fingerprint(
    added: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = json.loads(addition_record(tmp_path, "mine").read_text())["options"]
    assert fingerprint(options)
    monkeypatch.setattr(module, "MARKS", ())
    assert fingerprint(options) is None
