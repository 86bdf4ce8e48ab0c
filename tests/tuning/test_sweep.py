"""What a sweep deletes, and which data it continues with."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.common.errors import InputError
from components.records.sweep import Cost, Finalist, FinalistSeed, SweepMetric, SweepResult
from components.records.trial import Trial
from components.store import Store
from components.store.errors import Unreachable
from components.tuning.sweep import SweepFolder, _prune, refuse_changed
from components.tuning.trial_log import TrialLog


def test_checkpoints_of_a_finalists_twin_are_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("a", "b", "again"):
        store.write_json(f"{name}/checkpoints/x", {})
    trials = [Trial(number=n, uris=uris) for n, uris in ((1, ["a"]), (2, ["a"]), (3, ["b"]), (4, []))]
    repeats = [FinalistSeed(seed=seed, uri=uri) for seed, uri in enumerate(("a", "again", None))]
    scored = [Finalist(number=1, repeats=repeats)]

    def kept(policy: str) -> list[str]:
        _prune(store, trials, scored, policy)
        return [name for name in ("a", "b", "again") if store.exists(f"{name}/checkpoints/x")]

    assert kept("all") == ["a", "b", "again"]
    assert kept("finalists") == ["a", "again"] and kept("none") == []


def test_changed_data_is_told() -> None:
    refuse_changed("a" * 32, "a" * 32, "mnist5k", "x")
    with pytest.raises(
        InputError, match="searched on version aaaaaaaaaa of mnist5k, and bbbbbbbbbb is prepared"
    ):
        refuse_changed("a" * 32, "b" * 32, "mnist5k", "x")


@pytest.mark.parametrize("count", [10, 100])
def test_a_note_costs_the_same_however_many_trials_have_ended(tmp_path: Path, count: int) -> None:
    context: Any = Mock(model="")
    context.store.list = Mock(return_value=["event-1-100.json", "notes.txt", "step-0000008.pt.damaged"])
    folder = SweepFolder(Store(tmp_path), context, Mock(), lambda log: None)
    trials = [Trial(number=n, uri=f"trial/{n}", step=8, state="done") for n in range(1, count + 1)]
    first = [folder._with_files(trial) for trial in trials]
    assert context.store.list.call_count == 2 * count
    trials[0] = trials[0].model_copy(update={"step": 16})
    again = [folder._with_files(trial) for trial in trials]
    assert {(trial.events, trial.damaged) for trial in first + again} == {(1, 1)}
    assert context.store.list.call_count == 2 * count + 2


def test_a_sweep_waits_for_a_store_to_note_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context: Any = Mock(model="")
    about = SweepResult(family="vae", metric=SweepMetric(name="kid"), cost=Cost(name="time", unit="s"))
    noted: list[TrialLog] = []
    folder = SweepFolder(Store(tmp_path), context, about, noted.append)
    write, outage = Store.write_json, [Unreachable("down"), Unreachable("down")]

    def down_at_first(store: Store, rel: str, value: Any) -> None:
        if outage:
            raise outage.pop()
        write(store, rel, value)

    monkeypatch.setattr("components.store.errors.OUTAGE_PAUSE", 0.0)
    monkeypatch.setattr(Store, "write_json", down_at_first)
    TrialLog(folder.save, judgements=4).add("a", {"lr": 1e-3})
    assert not outage and len(noted) == 1
    assert folder.before() is not None
