"""`atelier gc`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.retention.survey import Retained, Survey
from components.store import Store
from flows.cli.retention import REASONS, staying
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
    code, output, err = call(capsys, *command)
    assert code == 0 and "remove  " + spec("unused").uri in output and "run r1" in output
    assert "next: the same command with --apply removes it" in err and store.exists(spec("unused").uri)
    code, out, _ = call(capsys, *command, "--apply", "--json")
    assert code == 0 and json.loads(out)["applied"] and not store.exists(spec("unused").uri)
    _, out, err = call(capsys, *command)
    assert "would free 0 B in 0 places" in out and "next: --run ID removes a run" in err
    assert ": run r1; --run r1 frees what nothing else refers to" in out and "--days" not in err
    assert "not removed by gc: " in err and "in the store published" not in err
    store.write_json("registry/digits/generate/champions/1.json", {"run_id": "r1"})
    _, out, _ = call(capsys, *command)  # which --run would refuse
    assert ": run r1; champion 1 of digits/generate needs it" in out and "--run r1" not in out
    made(store, spec("new"))
    _, out, err = call(capsys, "gc", "--store", store.url)
    assert ": made in the last 7 days; --days 0 frees it" in out and "; --days 0 also shows" in err


def test_a_run_is_removed_with_what_only_it_refers_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    for each in (spec("shared"), spec("own"), spec("new")):
        made(store, each)
    recorded(store, "r1", spec("shared"))
    recorded(store, "r2", spec("shared"), spec("own"))
    out = call(capsys, "gc", "--store", store.url)[1]
    assert ": runs r1, r2; --run r1 --run r2 frees what nothing else refers to" in out
    assert ": run r2; --run r2 frees" in out, "and no more than what it alone refers to"
    command = ("gc", "--run", "r2", "--store", store.url)
    code, output, err = call(capsys, *command)
    assert code == 0 and "only run r2 refers to it" in output and "what is published stays" in err
    assert store.exists("runs/r2/run.json")
    store.write_bytes("published/r2/page.html", bytes(2_000_000))
    assert "in the store published/ 2.0 MB" in call(capsys, *command)[2]
    code, _, _ = call(capsys, *command, "--apply")
    assert code == 0 and not store.exists("runs/r2") and not store.exists(spec("own").uri)
    assert store.exists(spec("shared").uri) and store.exists(spec("new").uri), "which is not a week old"
    assert call(capsys, *command)[0] == 2, "there is no such run any more"


def test_the_run_of_a_champion_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(tmp_path / "store"))
    recorded(store, "r1")
    store.write_json("registry/digits/generate/champions/1.json", {"model": {"run_id": "r1"}})
    code, _, err = call(capsys, "gc", "--run", "r1", "--apply", "--store", store.url)
    assert code == 2 and "run r1 stays: champion 1 of digits/generate names it" in err
    assert store.exists("runs/r1/run.json")


def test_negative_days_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "gc", "--days=-1", "--store", str(tmp_path))
    assert code == 2 and "--days -1 is not possible; accepted: 0 or more" in err


def test_six_reasons_are_listed_and_of_more_the_last_are_summed_up(tmp_path: Path) -> None:
    stays = [Retained(f"store/{i}", 1000, f"reason {i}") for i in range(REASONS + 1)]
    lines = staying(Store(str(tmp_path)), Survey(staying=stays), 7.0)
    assert len(lines) == REASONS + 1 and "other reason" not in lines[-1]
    more = Survey(staying=[*stays, Retained("store/x", 1000, "reason x")])
    assert staying(Store(str(tmp_path)), more, 7.0)[-1] == "stays: 2.0 kB: 2 other reasons, listed above"
