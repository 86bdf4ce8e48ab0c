"""A training that begins with the weights of another model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from components.common.errors import InputError
from components.config.train import Initial
from components.families import catalogue
from components.records.names import INITIAL, RESULT
from components.records.training import TrainingResult, WarmStart
from components.registry.models import identified
from components.store import Store
from components.training import checkpoint, job
from components.training.distributed import Group
from components.training.request import TrainRequest
from components.training.warm_start import load_initial, warm_start
from models.data_spec import DataSpec
from tests import tiny, two_ranks
from tests.registry.exports import export

FEW = {"steps": 4, "checkpoint_every": 2, "log_every": 1, "num_snapshots": 1, "sample_images": 10}
ANEW = Initial(model="r/f", sha256="0")


def request(
    store: Store, attempt: str, initial: Initial | None, family: str = "vae", **more: Any
) -> TrainRequest:
    """A few steps on the digits."""
    train = tiny.settings(**FEW, snapshot_samples=0, initial=initial)
    config = catalogue.config_of(family, tiny.CONFIGS[family] | more.pop("config", {}))
    return TrainRequest(family, config, train.model_dump(), "data", attempt, store, **more)


@pytest.fixture(scope="module")
def source(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the digits and the exported model of a short training, as run r."""
    store = Store(str(tmp_path_factory.mktemp("warm") / "store"))
    shutil.copytree(digits, store.path("data"))
    job.fit(request(store, "source", None))
    files = {name: store.read_bytes(f"source/model/{name}") for name in ("model.safetensors", "config.json")}
    export(store, "r", "vae", files)
    return store


@pytest.fixture
def initial(source: Store) -> Initial:
    return identified(source, Initial(model="latest/vae"))


def rows(store: Store, attempt: str) -> list[Mapping[str, Any]]:
    parts = [store.read_text(f"{attempt}/metrics/{name}") for name in store.list(f"{attempt}/metrics")]
    return [json.loads(line) for part in parts for line in part.splitlines()]


def test_what_fits_wholly_goes_on_where_the_source_was(source: Store, initial: Initial) -> None:
    job.fit(request(source, "warm", initial))
    other = tiny.trainer("vae", tiny.settings(**FEW, snapshot_samples=0))
    other.family.generator.load_state_dict(load(source.read_bytes("source/model/model.safetensors")))
    inputs = job.open_inputs(request(source, "warm", initial))
    other.step(job.Batches(inputs.training, 8, other.settings.seed))
    first, expected = rows(source, "warm")[0], other.collect()
    assert {name: first[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert first != rows(source, "source")[0], "the source began at random"
    result = TrainingResult.model_validate(source.read_json(f"warm/{RESULT}"))
    assert result.initial and set(result.initial.layers.values()) == {"taken"}
    assert (result.initial.model, result.initial.sha256) == ("r/vae", initial.sha256)
    layers = len(result.initial.layers)
    assert result.initial.sentence == f"{layers} of {layers} layers taken from r/vae"


@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_every_family_takes_all_of_its_own_weights(name: str) -> None:
    one, other = tiny.trainer(name, tiny.settings(seed=1)).family, tiny.trainer(name).family
    report = warm_start(other, one.generator.state_dict(), ANEW)
    for key, value in other.generator.state_dict().items():
        if key.partition(".")[0] not in ("autoencoder", "psnr"):
            assert torch.equal(value, one.generator.state_dict()[key]), key
    assert "new" not in report.layers.values()


def test_an_upstream_network_is_never_replaced() -> None:
    one, other = tiny.trainer("latent_diffusion", tiny.settings(seed=1)), tiny.trainer("latent_diffusion")
    with torch.no_grad():
        for parameter in one.family.generator.autoencoder.parameters():
            parameter.add_(1)
    before = {k: v.clone() for k, v in other.family.generator.autoencoder.state_dict().items()}
    report = warm_start(other.family, one.family.generator.state_dict(), ANEW)
    assert tiny.equal(before, other.family.generator.autoencoder.state_dict())
    assert {fate for layer, fate in report.layers.items() if layer.startswith("autoencoder")} == {
        "missing here"
    }


def test_layers_of_another_shape_begin_anew() -> None:
    """With another number of classes the embedding has another shape, and all else is taken."""
    one = tiny.trainer("cgan", card=DataSpec(1, 8, 7)).family
    other = tiny.trainer("cgan").family
    before = {k: v.clone() for k, v in other.generator.state_dict().items()}
    report = warm_start(other, one.generator.state_dict() | {"gone.weight": torch.zeros(2)}, ANEW)
    reshaped = {layer for layer, fate in report.layers.items() if fate == "other shape"}
    assert reshaped and "taken" in report.layers.values() and report.layers["gone"] == "missing here"
    for key, value in other.generator.state_dict().items():
        source = one.generator.state_dict()[key]
        assert torch.equal(value, source if value.shape == source.shape else before[key]), key
    assert f"; other shape: {min(reshaped)}" in report.sentence and "; missing here: gone" in report.sentence


def test_a_model_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(InputError, match="^train.initial: no layer of r/f fits by name and shape"):
        warm_start(tiny.trainer("vae").family, {"a.weight": torch.zeros(3)}, ANEW)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    export(store, "1", "vae", {"model.safetensors": b"no tensors"})
    with pytest.raises(InputError, match="^train.initial: the weights of 1/vae cannot be read"):
        load_initial(store, identified(store, Initial(model="1/vae")))


def test_a_resumed_training_does_not_begin_again(source: Store, initial: Initial) -> None:
    job.fit(request(source, "whole", initial))
    job.fit(request(source, "halves", initial, stop_at=2))
    gone = Initial(model="r/gone", sha256=initial.sha256)  # would be refused if it were read
    job.fit(request(source, "halves", gone))
    whole, halves = (checkpoint.newest(source.child(name), "cpu") for name in ("whole", "halves"))
    for state in (whole, halves):
        assert state
        state["control"]["seconds"] = 0
    assert tiny.equal(whole, halves)
    result = TrainingResult.model_validate(source.read_json(f"halves/{RESULT}"))
    assert result.initial == WarmStart.model_validate(source.read_json(f"whole/{INITIAL}"))


def fit(group: Group, train: TrainRequest) -> None:
    job.fit(train, group)


@pytest.mark.slow
def test_two_ranks_begin_alike(source: Store, initial: Initial) -> None:
    job.fit(request(source, "alone", initial))
    two_ranks.on_two_ranks(fit, request(source, "both", initial))
    alone, both = (load(source.read_bytes(f"{name}/model/model.safetensors")) for name in ("alone", "both"))
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=2e-3, atol=2e-4)
