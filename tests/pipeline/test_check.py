"""What cannot be trained is refused before a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save

from components.common.errors import InputError
from components.config.experiment import Publish
from components.config.train import Initial
from components.data.text import package
from components.families.catalogue import build
from components.pipeline import publish, train
from components.pipeline.check import check
from components.pipeline.plan import Plan
from components.publishing import formats
from components.registry.models import identified
from components.stages import cache
from components.store import Store
from tests.pipeline.test_anomaly_models import CARD, plan
from tests.registry.exports import export


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_networks_that_do_not_fit_the_images_are_refused(store: Store) -> None:
    with pytest.raises(
        InputError, match=r"^families.vae: latent=64 must be less than the 64 dimensions of an image"
    ):
        check(plan(store, {"vae": {"latent": 64}}), store)


def test_groups_that_do_not_fit_a_shard_are_refused(store: Store) -> None:
    sentence = (
        r"^families.gan: minibatch_stddev=4 must divide the 6 images of a micro-batch "
        r"\(train.batch=12 over train.micro_batches=2\)$"
    )
    with pytest.raises(InputError, match=sentence):
        check(plan(store, {"gan": {"minibatch_stddev": 4}}, batch=12, micro_batches=2), store)
    own = {
        "minibatch_stddev": 4,
        "train": {"batch": 12, "micro_batches": 2},
    }  # the family's own, over the common ones
    with pytest.raises(InputError, match=sentence):
        check(plan(store, {"gan": own}, batch=16), store)


@pytest.mark.parametrize(("group", "batch"), [(4, 16), (4, 2), (4, 4), (0, 12)])
def test_groups_that_fit_are_not(store: Store, group: int, batch: int) -> None:
    check(plan(store, {"gan": {"minibatch_stddev": group}}, batch=batch, micro_batches=1), store)


def test_captions_without_the_encoder_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(store, {"diffusion": {"condition": "text"}})
    captioned = replace(made, card=CARD.model_copy(update={"captions": True}))
    monkeypatch.setattr(package, "PACKAGES", ("not_installed",))
    with pytest.raises(InputError, match="which is not installed: run `make setup-text`"):
        check(captioned, store)


def test_what_is_trained_already_is_not_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(store, {"gan": {"minibatch_stddev": 4}}, batch=6)
    cache.run(store, train.spec(made, "gan"), lambda attempt, number: {}, run_id="r1")
    check(made, store)


def test_a_model_to_begin_with_of_which_nothing_fits_is_refused(store: Store) -> None:
    family = build("vae", {}, plan(store, {"vae": {}}).card_for("vae"))
    export(store, "r", "vae", {"model.safetensors": save(family.generator.state_dict())})
    initial = identified(store, Initial(model="r/vae")).model_dump()
    fits = {"vae": {"train": {"initial": initial}}}
    check(plan(store, fits), store)
    with pytest.raises(InputError, match="^train.initial: no layer of r/vae fits by name and shape"):
        check(plan(store, fits | {"gan": {"train": {"initial": initial}}}), store)


def test_a_format_whose_packages_are_missing_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(store, {"gan": {}})
    asked = made.experiment.model_copy(update={"publish": Publish(formats=("torch_export", "onnx"))})
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    check(made, store)
    with pytest.raises(InputError, match=r"the format onnx needs the package onnx; install it"):
        check(replace(made, experiment=asked), store)


def test_formats_are_part_of_a_publication(store: Store) -> None:
    made = plan(store, {"gan": {}})
    asked = made.experiment.model_copy(update={"publish": Publish(formats=("onnx",))})
    keys = [publish.spec(each, {}, {}).key for each in (made, replace(made, experiment=asked))]
    assert keys[0] != keys[1]


def test_settings_that_do_not_suit_the_data_are_advised_against_until_they_are_trained(store: Store) -> None:
    card = CARD.model_copy(update={"channels": 3, "resolution": 64})

    def planned(settings: dict[str, Any], **train: Any) -> Plan:
        made = plan(store, {"diffusion": settings, "vae": {}}, **train)
        return Plan.of(made.experiment, "0123.dir", card, store)

    (sentence,) = train.advice(planned({}), store)
    assert sentence.startswith("families.diffusion: prediction=velocity contains noise, which 32 channels")
    assert (
        train.advice(planned({"prediction": "x_0"}), store)
        == train.advice(planned({}, smoke=True), store)
        == []
    )
    cache.run(store, train.spec(planned({}), "diffusion"), lambda attempt, number: {}, run_id="r1")
    assert train.advice(planned({}), store) == []
