"""What is identified by a hash keeps its identity: the values are those of the code before it was merged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common import hashing
from components.data.card import DatasetCard
from components.data.sources import base, splits
from components.evaluation import comparability
from components.extractors.files import write_config
from flows import record


def test_measured_values_stay_comparable() -> None:
    recipe = {
        **{"metric": "fid", "data_set": "mnist5k", "data": "d41d8cd9.dir", "split": "test"},
        **{"extractor": "digits", "extractor_hash": "ab12", "n": 1000, "n_real": 1000},
        **{"preparation": "float, [-1, 1] é", "resize": None, "rounding": "uint8", "chunk": 64},
        "seeds": "one",
    }
    assert comparability.key(recipe) == "0eefc61f6b59bb4b"


def test_extractors_keep_their_hash(tmp_path: Path) -> None:
    recipe = {"steps": 400, "lr": 0.001, "classes": None}
    config = write_config(tmp_path, "own", "0" * 64, "grey, 28 x 28", recipe)
    assert config.hash == "245704fed26fbcc089e8871674edb1b0e377d95aaf25578e8a58b403b6104579"


def test_data_sets_keep_their_hash_and_their_splits() -> None:
    card = DatasetCard(
        name="mine",
        title="t",
        source="s",
        licence="l",
        credit="c",
        resolution=28,
        channels=1,
        counts={"train": 2},
        files={
            "train/images.npy": {"sha256": "a" * 64, "bytes": 12},
            "a.json": {"sha256": "b" * 64, "bytes": 3},
        },  # type: ignore[dict-item]
    )
    assert card.hash == "241ae68ff9d43f63de852c0a2c868fcb460cd7ba0de48504ddc8478ebace7b62"
    assert splits.rank("a/b.png") == "88f7ec7982e1b5db2318b08dd31a30c648c69e6c7dc9db662ff75d38ffadd4e6"
    assert splits.rank("caf\udce9.png") == "507c1cbe909ea2a026e21254f7e44211d47b530b64570154c668a8062c4272ae"
    images = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    assert base.contents(images) == ["8a851ff82ee7048ad09ec3847f1ddf44944104d2cbd17ef4e3db22c6785a0d45"]


def test_lineage_and_keys_keep_their_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_git", lambda *_: None)
    experiment = {"data": {"name": "mnist5k"}, "families": {"vae": {"lr": 0.001}}, "seed": 0}
    assert record.lineage(tmp_path, experiment).config_hash == "81a8514b74af4d3c"
    value = {"of": {"lr": 0.001, "é": [1, None]}, "seed": 3, "samples": 100}
    assert hashing.key_of(value) == "4305eb55288582f3"
    with pytest.raises(ValueError, match="JSON compliant"):
        hashing.key_of(float("nan"))
