"""A pin stays until somebody replaces it; of two that come first, one counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.common import hashing
from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.pipeline import extractor, prepare, reference
from components.pipeline.plan import Plan
from components.pipeline.stage import Context
from components.registry import pins
from components.stages import cache, spec
from components.stages.spec import Spec
from components.store import Store

CARD = DatasetCard(
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
        return {"extractor": {"name": "classifier", "hash": hashing.sha256(text), "dim": 64}}

    return cache.run(store, spec, body, run_id="r1")


def test_pins_are_numbered_and_the_highest_counts(store: Store) -> None:
    assert pins.pinned(store, "x", "classifier-8") is None
    pins.pin(store, "x", "classifier-8", after=0, key="k1", hash="h1")
    for number in range(1, 11):
        pins.pin(store, "x", "classifier-8", after=number, key=f"k{number + 1}", hash="h")
    counts = pins.pinned(store, "x", "classifier-8")
    assert counts is not None and counts.number == 11 and counts.key == "k11"
    assert pins.pinned(store, "x", "rotation-8") is None and pins.pinned(store, "y", "classifier-8") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"number": 1, "key": "k1"}', '{"number": "1", "hash": "h"}'])
def test_a_damaged_pin_is_named(store: Store, content: str) -> None:
    pins.pin(store, "x", "r", after=0, key="k1", hash="h1")
    store.write_text("registry/x/r/1.json", content)
    with pytest.raises(InputError, match="registry/x/r/1.json is damaged; restore the file"):
        pins.pinned(store, "x", "r")


def test_the_first_of_two_pins_counts(store: Store) -> None:
    first = pins.pin(store, "x", "r", after=0, key="mine", hash="h")
    second = pins.pin(store, "x", "r", after=0, key="theirs", hash="h")
    assert first.key == second.key == "mine"


def test_new_data_and_new_code_keep_the_pinned_extractor(store: Store) -> None:
    first = plan(store)
    done = made(store, extractor.spec(first))
    pinned = extractor.with_pinned_extractor(store, first, done)
    later = plan(store, version="4567.dir")
    assert extractor.spec(later).key == extractor.spec(pinned).key == done.key
    assert extractor.spec(replace(later, pin=None)).key != done.key, "without a pin, the data decides"
    assert cache.finished(store, extractor.spec(later)) is not None
    assert reference.spec(later).key != reference.spec(pinned).key, (
        "real features are of the data as it is now"
    )
    assert reference.spec(later).upstream["extractor"] == done.key


def test_other_steps_are_another_extractor(store: Store) -> None:
    first = plan(store)
    extractor.with_pinned_extractor(store, first, made(store, extractor.spec(first)))
    assert plan(store, extractor_steps=16).pin is None


def test_extractors_from_elsewhere_are_what_their_file_is(store: Store) -> None:
    a, b = plan(store, extractor="inception"), plan(store, version="4567.dir", extractor="inception")
    assert extractor.spec(a).key == extractor.spec(b).key and a.pin is None


def test_the_plan_names_the_extractor_that_jobs_accept(store: Store) -> None:
    first = plan(store)
    assert first.expected_extractor == ("classifier", None)
    done = made(store, extractor.spec(first))
    pinned = extractor.with_pinned_extractor(store, first, done)
    assert pinned.expected_extractor == ("classifier", hashing.sha256("weights"))
    context = Context(
        store, pinned, reference.spec(pinned), store, 0, {"prepare": done, "extractor": done}, "r"
    )
    assert context.places("parts", 1).expected == pinned.expected_extractor
    of = {"name": "x", "torchscript": True, "weights": "gone.pt", "sha256": "0" * 64, "dim": 4, "resize": 8}
    name, hash = plan(store, extractor="custom", custom=of).expected_extractor
    other = plan(store, extractor="custom", custom=of | {"sha256": "1" * 64}).expected_extractor
    assert name == other.name == "custom:x" and hash != other.hash


def test_a_pinned_extractor_is_not_made_again(store: Store) -> None:
    first = plan(store)
    done = made(store, extractor.spec(first))
    pinned = extractor.with_pinned_extractor(store, first, done)
    with pytest.raises(InputError, match="pinned .* retrain"):
        cache.run(store, extractor.spec(pinned), lambda *_: {}, run_id="r2", force=True)
    store.write_text(f"{done.uri}/extractor/config.json", "damaged")
    with pytest.raises(InputError, match="restore the store"):
        cache.run(store, extractor.spec(pinned), lambda *_: {}, run_id="r2")
    assert store.read_json(f"{extractor.spec(pinned).uri}/spec.json")["stage"] == "extractor"


def test_retraining_pins_the_next_number(store: Store) -> None:
    first = plan(store)
    before = extractor.with_pinned_extractor(store, first, made(store, extractor.spec(first)))
    unpinned = replace(plan(store, version="4567.dir"), pin=None)
    new = made(store, extractor.spec(unpinned), "other weights")
    after = extractor.with_pinned_extractor(store, before, new, replace_pin=True)
    assert after.pin is not None and after.pin.number == 2 and after.pin.reason == "retrained"
    assert [p.key for p in pins.pins(store, "x", "classifier-8")] == [extractor.spec(before).key, new.key]


def test_a_pin_outlives_a_change_of_all_keys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan(store)
    with monkeypatch.context() as earlier:
        earlier.setattr(spec, "SCHEMA", spec.SCHEMA - 1)
        done = made(store, extractor.spec(first))
        before = prepare.spec(first).key
        pinned = extractor.with_pinned_extractor(store, first, done)
    assert prepare.spec(first).key != before, "every other key changes"
    assert extractor.spec(pinned).key == done.key
    assert cache.finished(store, extractor.spec(pinned)) is not None
