"""`atelier gc`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.report.formatting import size
from components.store import Store
from tests.flows.cli.test_app import call
from tests.retention.stores import made, recorded, spec


def test_gc_shows_what_it_would_remove_and_removes_it_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    for each in (spec("used"), spec("unused")):
        made(store, each)
    recorded(store, "r1", spec("used"))
    command = ("gc", "--days", "0", "--store", store.url)
    code, shown, _ = call(capsys, *command)
    assert code == 0 and "remove  " + spec("unused").uri in shown and "run r1" in shown
    assert "`atelier gc --apply` removes it" in shown and store.exists(spec("unused").uri)
    code, out, _ = call(capsys, *command, "--apply", "--json")
    assert code == 0 and json.loads(out)["applied"] and not store.exists(spec("unused").uri)
    assert "would free 0 B in 0 places" in call(capsys, *command)[1]


def test_negative_days_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "gc", "--days=-1", "--store", str(tmp_path))
    assert code == 2 and "--days -1 is not possible; accepted: 0 or more" in err


def test_sizes_read_well() -> None:
    assert [size(n) for n in (0, 999, 1500, 2_000_000_000, 5e12)] == [
        "0 B", "999 B", "1.5 kB", "2.0 GB", "5.0 TB",
    ]  # fmt: skip
