"""Records of a training."""

from __future__ import annotations

from components.records.training import LISTED, Fate, WarmStart


def test_a_warm_start_is_one_sentence() -> None:
    layers: dict[str, Fate] = {"first": "taken", "last": "other shape", "extra": "missing here"}
    many: dict[str, Fate] = {f"block{i}": "new" for i in range(LISTED + 2)}
    assert WarmStart(model="r/vae", sha256="", layers=layers | many).sentence == (
        f"1 of {3 + len(many)} layers taken from r/vae; other shape: last; missing here: extra; "
        "new: block0, block1, block2, block3 and 2 more"
    )
    assert WarmStart(model="r/vae", sha256="", layers={"a": "taken"}).sentence == (
        "1 of 1 layers taken from r/vae"
    )
