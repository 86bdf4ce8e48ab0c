"""A pin stays until somebody replaces it; of two that come first, one counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.common import hashing
from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.card import DataCard
from components.pipeline import work
from components.pipeline.plan import Plan
from components.registry import pins
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store

CARD = DataCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
    labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def plan(store: Store, version: str = "0123.dir", **evaluate: Any) -> Plan:
    families = {"vae": {"lr": 1e-3, "train": {}}}
    return Plan.of(Experiment(device="cpu", families=families, evaluate=evaluate), version, CARD, store)


def made(store: Store, spec: Spec, text: str = "weights") -> cache.Done:
    def body(attempt: Store, number: int) -> dict[str, Any]:
        attempt.write_text("extractor/config.json", text)
        return {"extractor": {"hash": hashing.sha256(text)}}

    return cache.run(store, spec, body, run_id="r1")


def test_pins_are_numbered_and_the_highest_counts(store: Store) -> None:
    assert pins.pinned(store, "x", "classifier-8") is None
    pins.pin(store, "x", "classifier-8", after=0, key="k1", hash="h1")
    for number in range(1, 11):
        pins.pin(store, "x", "classifier-8", after=number, key=f"k{number + 1}", hash="h")
    counts = pins.pinned(store, "x", "classifier-8")
    assert counts is not None and counts["number"] == 11 and counts["key"] == "k11"
    assert pins.pinned(store, "x", "rotation-8") is None and pins.pinned(store, "y", "classifier-8") is None


def test_the_first_of_two_pins_counts(store: Store) -> None:
    first = pins.pin(store, "x", "r", after=0, key="mine", hash="h")
    second = pins.pin(store, "x", "r", after=0, key="theirs", hash="h")
    assert first["key"] == second["key"] == "mine"


def test_new_data_and_new_code_keep_the_pinned_extractor(store: Store) -> None:
    first = plan(store)
    done = made(store, first.extractor)
    pinned = work.pinned(store, first, done)
    later = plan(store, version="4567.dir")
    assert later.extractor.key == pinned.extractor.key == done.key
    assert replace(later, pin=None).extractor.key != done.key, "without a pin, the data decides"
    assert cache.finished(store, later.extractor) is not None
    assert later.reference.key != pinned.reference.key, "real features are of the data as it is now"
    assert later.reference.upstream["extractor"] == done.key


def test_other_epochs_are_another_extractor(store: Store) -> None:
    first = plan(store)
    work.pinned(store, first, made(store, first.extractor))
    assert plan(store, extractor_epochs=1).pin is None


def test_extractors_from_elsewhere_are_what_their_file_is(store: Store) -> None:
    a, b = plan(store, extractor="inception"), plan(store, version="4567.dir", extractor="inception")
    assert a.extractor.key == b.extractor.key and a.pin is None


def test_a_pinned_extractor_is_not_made_again(store: Store) -> None:
    first = plan(store)
    done = made(store, first.extractor)
    pinned = work.pinned(store, first, done)
    with pytest.raises(InputError, match="pinned .* renew"):
        cache.run(store, pinned.extractor, lambda *_: {}, run_id="r2", force=True)
    store.write_text(f"{done.uri}/extractor/config.json", "damaged")
    with pytest.raises(InputError, match="restore the store"):
        cache.run(store, pinned.extractor, lambda *_: {}, run_id="r2")
    assert store.read_json(f"{pinned.extractor.uri}/spec.json")["stage"] == "extractor"


def test_renewing_pins_the_next_number(store: Store) -> None:
    first = plan(store)
    before = work.pinned(store, first, made(store, first.extractor))
    unpinned = replace(plan(store, version="4567.dir"), pin=None)
    new = made(store, unpinned.extractor, "other weights")
    after = work.pinned(store, before, new, renew=True)
    assert after.pin is not None and after.pin["number"] == 2 and after.pin["reason"] == "renewed"
    assert [p["key"] for p in pins.pins(store, "x", "classifier-8")] == [before.extractor.key, new.key]
