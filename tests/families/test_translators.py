"""What families that make images from sources meet on their way, with pairs and without.

That two ranks equal one is tested in test_contract.py.
"""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import open_split, to_float
from components.evaluation import reference
from components.evaluation.jobs import evaluate_family, sample
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.families import catalogue
from components.sampling.conditions import FixedConditions, conditions_of, target_images
from components.sampling.request import SampleOptions
from components.sampling.to_file import sample_to_file
from components.store import Store
from components.training.health.probe import Probe
from components.training.job import fit
from components.training.request import TrainRequest
from flows.cli import app
from models.data_spec import DataSpec
from models.parts.layers import batch_norms
from models.registry import FAMILIES
from tests import tiny
from tests.families.translators import CARD, NAMES, PAIRED, UNPAIRED, with_sources

BOTH = pytest.mark.parametrize("name", NAMES)
COUNTS = {"train": 90, "validation": 30, "test": 50}  # sources, fewer than images

pytestmark = pytest.mark.usefixtures("translators")


def probed(name: str, resume: dict[str, Any] | None = None) -> tuple[Any, tiny.Memory]:
    """A training whose health is looked at after each step."""
    split = tiny.split_for(name, CARD)
    conditions = FixedConditions(CARD, split, catalogue.task_of(name))
    probe = Probe(conditions, lambda images: images.flatten(1), to_float(split.images[:]), n=32)
    trainer, log = tiny.trainer(name, tiny.settings(health_every=1), card=CARD, probe=probe), tiny.Memory()
    tiny.train(trainer, tiny.batches(name, trainer), log, resume=resume)
    return trainer, log


@BOTH
def test_resumed_is_uninterrupted_bit_for_bit_and_looked_at(name: str) -> None:
    _, whole = probed(name)
    _, rest = probed(name, resume=copy.deepcopy(whole.saved[3]))
    assert tiny.equal(whole.saved[6], rest.saved[6])
    vitals = {key.removeprefix("health/") for key in whole.rows[-1] if key.startswith("health/")}
    assert {
        "D(x)",
        "D(G(z))",
        "auc",
        "discriminator_loss",
        "generator_loss",
        "discriminator_weight_norm",
        "generator_weight_norm",
    } <= vitals
    assert {"diversity", "sample_drift"} <= vitals
    assert tiny.losses(rest)[-1] == tiny.losses(whole)[-1]


@BOTH
def test_batch_norm_is_recomputed_from_sources(name: str) -> None:
    trainer, _ = tiny.run(name, card=CARD)
    generator = trainer.calibrated()
    means = []
    for number in range(4):
        batch, noise = trainer.calibration_batch(number)
        assert batch.source is not None and batch.image is None
        x = torch.nn.functional.interpolate(batch.source, size=(8, 8), mode="nearest")
        means.append(generator.network[0](torch.cat([x, noise(1, 8, 8)], 1)).mean((0, 2, 3)).detach())
    running_mean = batch_norms(generator)[0].running_mean
    torch.testing.assert_close(running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)
    again = torch.equal(trainer.calibration_batch(0)[0].source, trainer.calibration_batch(1)[0].source)
    assert again is (name == PAIRED), "sources in turn: 128 are the 64 of pairs twice, of 40 others come next"


@pytest.fixture
def store(tmp_path: Path, digits: Path, digits_reference: Path) -> Store:
    """A store with digits, their reference, and sources: of all of them, or fewer."""
    store = Store(str(tmp_path / "store"))
    with_sources(digits, Path(store.path(PAIRED)))
    with_sources(digits, Path(store.path(UNPAIRED)), counts=COUNTS)
    with_sources(digits, Path(store.path("pix2pix")), side=8)
    with_sources(digits, Path(store.path("cyclegan")), side=8, counts=COUNTS)
    shutil.copytree(digits_reference, store.path("reference"))
    return store


def trained(store: Store, name: str, attempt: str, **changes: Any) -> dict[str, Any]:
    """What a training by the job leaves, judged on its way."""
    chosen = tiny.settings(
        snapshot_samples=64, sample_images=40, health_every=2, num_snapshots=2
    ).model_dump()
    job = TrainRequest(
        name, tiny.CONFIGS[name], chosen, name, attempt, store, "reference", "reference/extractor", **changes
    )
    fit(job)
    return store.read_json(f"{attempt}/trained.json") if store.exists(f"{attempt}/trained.json") else {}


def weights(store: Store, folder: str) -> bytes:
    return store.read_bytes(f"{folder}/model/model.safetensors")


def trained_whole_and_in_parts(store: Store, name: str) -> dict[str, Any]:
    """The result of a training, after a comparison with one that was interrupted."""
    whole = trained(store, name, "whole")
    assert trained(store, name, "parts", stop_at=3) == {}
    assert trained(store, name, "parts")["curve"] == whole["curve"]
    assert weights(store, "whole") == weights(store, "parts"), "interrupted or not, the same bits"
    return whole


@BOTH
def test_trained_interrupted_sampled_and_evaluated(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "real_classification_accuracy", lambda *_: 0.5)
    whole = trained_whole_and_in_parts(store, name)
    assert store.read_json("whole/model/config.json")["card"]["source"] == {"channels": 3, "resolution": 4}
    paired = name == PAIRED
    assert ("mse" in whole["curve"][-1]) is paired

    Image.new("RGB", (9, 9), "red").save(tmp_path / "source.png")
    model, out = Path(store.path("whole/model")), tmp_path / "out.png"
    images = sample_to_file(model, out, n=3, options=SampleOptions(source=tmp_path / "source.png"))
    assert images.shape == (3, 1, 8, 8) and out.exists() and (images[0] != images[1]).any()
    with pytest.raises(InputError, match="changes images: name one with --source FILE"):
        sample_to_file(model, out, n=3)

    places = EvaluationPaths(store, name, "reference/extractor", "drawn", "reference")
    n = catalogue.most_samples(name, DatasetCard.read(Path(store.path(name))), "test", 100)
    assert n == (100 if paired else 50)
    sample(SampleRequest(places, "whole/model", n, seed=1))
    metrics = evaluate_family(EvaluateRequest(places, "whole", name, "out", published=False)).metrics
    assert ("mse" in metrics) is paired and ("kid" in metrics) is not paired
    assert {metric.n for metric in metrics.values()} == {n}
    assert not {"conditional_accuracy", "class_kid"} & metrics.keys()


@pytest.mark.parametrize(("name", "metric"), [("pix2pix", "mse"), ("cyclegan", "kid")])
def test_registered_families_are_trained_interrupted_and_evaluated(
    name: str, metric: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "real_classification_accuracy", lambda *_: 0.5)
    whole = trained_whole_and_in_parts(store, name)
    assert name == "cyclegan" or metric in whole["curve"][-1]
    places = EvaluationPaths(store, name, "reference/extractor", "drawn", "reference")
    sample(SampleRequest(places, "whole/model", 50, seed=1))
    metrics = evaluate_family(EvaluateRequest(places, "whole", name, "out", published=False)).metrics
    assert metrics[metric].n == 50


def test_unpaired_sources_do_not_get_the_labels_of_the_targets(store: Store) -> None:
    class Labelled(FAMILIES[UNPAIRED]):  # type: ignore[misc]
        takes = frozenset({"label"})

    class LabelledPairs(FAMILIES[PAIRED]):  # type: ignore[misc]
        takes = frozenset({"label"})

    for name, family in ((UNPAIRED, Labelled), (PAIRED, LabelledPairs)):
        FAMILIES[name] = family
        data = DatasetCard.read(Path(store.path(name)))
        split = open_split(Path(store.path(name)), "test", sources=True)
        made_from = conditions_of(name, {}, catalogue.card_for(name, {}, data), data, split)
        assert made_from["sources"] is split.sources
        if name == PAIRED:
            np.testing.assert_array_equal(made_from["labels"], split.labels)
        else:
            assert data.label_counts and made_from["labels"] == "data"
            assert made_from["counts"] == data.label_counts["train"]
        rows = np.array([399, 0, 77])
        sources = split.sources[:]
        np.testing.assert_array_equal(
            target_images(name, split, rows)["sources"], sources[rows if name == PAIRED else [0, 1, 2]]
        )


def test_sources_are_told_only_to_families_that_make_use_of_them(store: Store) -> None:
    data = DatasetCard.read(Path(store.path(PAIRED)))
    for name in ("dcgan", "autoencoder", "inpainting"):
        assert catalogue.card_for(name, {}, data).source is None
        assert catalogue.most_samples(name, data, "test", 999) == 999
    for name in (PAIRED, UNPAIRED, "super_resolution"):
        assert catalogue.card_for(name, {}, data).source == CARD.source
    assert open_split(Path(store.path(PAIRED)), "test").sources is None
    with pytest.raises(InputError, match=f"families.{PAIRED}: it makes images from sources, and the data"):
        catalogue.build(PAIRED, {}, DataSpec(1, 8))


def test_families_that_need_a_source_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in catalogue.describe_families()}
    for name in (PAIRED, UNPAIRED):
        assert rows[name]["needs"] == ["source"] and rows[name]["phases"] == ["D", "G"]
    with pytest.raises(SystemExit) as ended:
        app.main(["families", "--json"])
    assert ended.value.code in (0, None)
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == set(rows)
