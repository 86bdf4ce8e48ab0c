"""The stage that copies prepared data into the store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.common.paths import home
from components.config.experiment import Data, Experiment
from components.data.card import DatasetCard
from components.data.local import data_version
from components.pipeline import prepare
from components.pipeline.plan import Plan
from components.store import Store


def test_a_damaged_snapshot_is_made_again_before_it_enters_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, version = data_version(tmp_path, "digits", None)
    monkeypatch.setattr(prepare, "home", lambda: tmp_path)
    plan = SimpleNamespace(version=version, experiment=SimpleNamespace(data=SimpleNamespace(name="digits")))
    image = snapshot / "train" / "images-00000.npy"
    for number, damaged in enumerate((image.read_bytes()[:-100] + b"x" * 100, b"")):
        image.chmod(0o644)
        image.write_bytes(damaged)  # also the file in DVC's cache, to which it is linked
        context: Any = SimpleNamespace(plan=plan, attempt=Store(tmp_path / f"store{number}"))
        assert prepare.run(context).data.name == "digits"
        for folder in (snapshot, tmp_path / f"store{number}" / "data"):
            assert DatasetCard.read(folder).problems(folder) == []


def test_a_version_that_a_store_has_needs_no_data_on_this_machine(digits: Path, tmp_path: Path) -> None:
    version = data_version(home(), "digits", None)[1]
    store, data = Store(tmp_path / "store"), Data(name="digits")
    assert prepare.stored(store, "digits", version) is None
    experiment = Experiment.model_construct(device="cpu", data=data, families={})
    plan = Plan(experiment, version, DatasetCard.read(digits))
    done = prepare.STAGE.result(store, plan, prepare.spec(plan), {}, "none")
    assert prepare.stored(store, "digits", version) == DatasetCard.read(digits)
    assert prepare.stored(store, "digits", "0" * 32 + ".dir") is None
    store.write_bytes(f"{done.uri}/data/card.json", b"{")
    assert prepare.stored(store, "digits", version) is None, "damaged"
