"""What differs between the specs of two results."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.stages import cache, spec
from components.stages.spec import Spec, difference
from components.store import Store
from flows.run import explain


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_difference_names_what_changed() -> None:
    old = {"settings": {"lr": 1e-3, "train": {"steps": 5}}, "code": {"components.ema": "aa"}}
    new = {"settings": {"lr": 2e-3, "train": {"steps": 5}}, "code": {"components.ema": "bb"}}
    old["upstream"] = {"prepare": "1", "train/vae": "2"}
    new["upstream"] = {"prepare": "1", "train/vae": "3", "extractor": "4"}
    old["upstream"]["train/gan"] = "5"
    old["data"], new["data"] = f"{'a' * 32}.dir", f"{'b' * 32}.dir"
    assert difference(old, new) == [
        'code.components.ema: "aa" -> "bb"',
        "data: version aaaaaaaaaa -> bbbbbbbbbb",
        "settings.lr: 0.001 -> 0.002",
        "upstream: train/vae",
        "now with: extractor",
        "now without: train/gan",
    ]


def test_a_change_of_all_keys_is_one_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(spec, "SCHEMA", spec.SCHEMA - 1)
        cache.run(store, Spec("train", {}, {}), lambda *_: {}, run_id="r")
    reason = explain(store, Spec("train", {}, {}))
    assert (
        reason == f"runs: this version of Atelier has other keys (schema {spec.SCHEMA - 1} -> {spec.SCHEMA})"
    )
