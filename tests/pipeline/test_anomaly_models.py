"""Models that have not seen a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.families.resolve import resolved
from components.pipeline import anomaly_models, latent_analysis, train
from components.pipeline.check import check
from components.pipeline.plan import Plan
from components.store import Store
from tests.stage_specs import specs

CARD = DatasetCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
    labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
)  # fmt: skip


def plan(store: Store, families: dict[str, dict[str, Any]], **train: Any) -> Plan:
    experiment = Experiment(device="cpu", families=families, train={"precision": "float32", **train})
    return Plan.of(resolved(experiment, "cpu", "float32"), "0123.dir", CARD, store)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def with_held_out(
    store: Store, families: dict[str, dict[str, Any]], card: DatasetCard = CARD, **evaluate: Any
) -> Plan:
    read = Experiment(device="cpu", families=families, evaluate=evaluate, train={"precision": "float32"})
    return Plan.of(resolved(read, "cpu", "float32"), "0123.dir", card, store)


@pytest.mark.parametrize(("families", "held_out", "sentence"), [
    (["autoencoder"], ["c"], r"evaluate.held_out_classes: data set x has no class 'c'; known: a, b$"),
    (["autoencoder"], 3, r"evaluate.held_out_classes: data set x has no class '3'; known: a, b$"),
    (["gan"], "all", "evaluate.held_out_classes needs a family that encodes images; none of gan does"),
])  # fmt: skip
def test_held_out_classes_that_cannot_be_are_refused(
    store: Store, families: list[str], held_out: Any, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        check(with_held_out(store, {family: {} for family in families}, held_out_classes=held_out), store)


def test_models_without_a_class_begin_at_random(store: Store) -> None:
    """The model to begin with may have learned from the class."""
    initial = {"initial": {"model": "r/autoencoder", "sha256": "0"}}
    made = plan(store, {"autoencoder": {"train": initial}})
    assert made.experiment.training("autoencoder").initial
    assert anomaly_models.training(made, "autoencoder").initial is None


def test_without_classes_nothing_can_be_left_out(store: Store) -> None:
    card = CARD.model_copy(update={"labels": None})
    with pytest.raises(InputError, match="needs at least two classes, but data set x has 0"):
        check(with_held_out(store, {"autoencoder": {}}, card, held_out_classes="all"), store)


def test_detectors_are_stages_of_the_classes_that_are_held_out(store: Store) -> None:
    some, every = (
        with_held_out(store, {"autoencoder": {}, "gan": {}}, held_out_classes=h) for h in (["a"], "all")
    )
    assert anomaly_models.held_out_classes(some) == ["a"]
    assert anomaly_models.held_out_classes(every) == ["a", "b"]
    for stage, same in ((anomaly_models, False), (train, True), (latent_analysis, False)):
        keys = [stage.spec(plan, "autoencoder").key for plan in (some, every)]
        assert (keys[0] == keys[1]) is same
    titles = [spec.title for spec in specs(every)]
    assert "anomaly_models autoencoder" in titles and "latent_analysis autoencoder" in titles
    assert "latent_analysis gan" not in titles and "anomaly_models gan" not in titles
    plain = with_held_out(store, {"autoencoder": {}})
    assert "anomaly_models autoencoder" not in [spec.title for spec in specs(plain)]
    assert latent_analysis.families(with_held_out(store, {"autoencoder": {}}, latent_analysis=False)) == []


def test_a_smoke_run_holds_out_two_classes(store: Store) -> None:
    card, families = (
        CARD.model_copy(update={"labels": ["a", "b", "c"]}),
        {"autoencoder": {"train": {"smoke": True}}},
    )
    made = with_held_out(store, families, card, held_out_classes="all")
    assert anomaly_models.spec(made, "autoencoder").settings["held_out_classes"] == ["a", "b"]


def test_what_is_told_the_class_holds_none_out(store: Store) -> None:
    conditional = {"conditional": True}
    both = with_held_out(store, {"autoencoder": {}, "vae": conditional}, held_out_classes="all")
    check(both, store)
    assert latent_analysis.families(both) == ["autoencoder", "vae"]
    assert anomaly_models.families(both) == ["autoencoder"]
    assert "anomaly_models vae" not in [spec.title for spec in specs(both)]
    plain = with_held_out(store, {"vae": conditional})
    assert latent_analysis.spec(both, "vae").key == latent_analysis.spec(plain, "vae").key
    alone = with_held_out(store, {"vae": conditional}, held_out_classes="a")
    with pytest.raises(
        InputError,
        match="evaluate.held_out_classes needs a family that is not class-conditional; these all are: vae",
    ):
        check(alone, store)
