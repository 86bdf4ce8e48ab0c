"""Latents that are encoded once for a family."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.common.chunks import ranges
from components.data.batches import Batches
from components.data.dataset import ShardedArray, open_sharded_array, open_split, to_float
from components.families import artifact, catalogue
from components.report import build_run
from components.sampling import generate
from components.store import Store
from components.training import job, request
from components.training.latents import encode
from components.training.request import EncodeRequest
from components.training.validation import validation_batches
from tests import tiny

BELOW, ABOVE = "kl_vae", "latent_diffusion"


def settings() -> dict[str, Any]:
    return tiny.settings(steps=4, snapshot_samples=0, sample_images=10).model_dump()


def fit(store: Store, family: str, **others: Any) -> None:
    config = catalogue.config_of(family, tiny.CONFIGS[family])
    job.fit(request.TrainRequest(family, config, settings(), "data", family, store, **others))


@pytest.fixture(scope="module")
def store(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with data, a trained autoencoder, the images as it encodes them, and what builds on it."""
    store = Store(str(tmp_path_factory.mktemp("upstream")))
    shutil.copytree(digits, store.path("data"))
    fit(store, BELOW)
    for split in ("train", "validation"):
        n = len(open_split(digits, split))
        for number, (start, length) in enumerate(ranges(n, 1024)):
            encode(EncodeRequest(store, "data", f"{BELOW}/model", "latents", split, number, start, length))
    fit(store, ABOVE, upstream={"autoencoder": f"{BELOW}/model"}, latents="latents")
    return store


def test_kept_latents_are_what_the_model_makes_of_the_images(store: Store) -> None:
    generator, card, _ = artifact.load_model(store.path(f"{BELOW}/model"))
    for split in ("train", "validation"):
        images, latents = (
            open_split(Path(store.path("data")), split).images,
            open_sharded_array(Path(store.path(f"latents/{split}")), "latents"),
        )
        assert latents.shape == (len(images), 2, 2, 4, 4) and latents[:1].dtype == np.float16
        rows = np.array([0, 5, len(images) - 1])
        with torch.no_grad():
            expected = torch.stack(generator.encode(to_float(images[rows])), 1)
        torch.testing.assert_close(torch.from_numpy(latents[rows]).float(), expected, rtol=2e-3, atol=2e-3)


def test_kept_latents_do_not_depend_on_how_they_are_shared_out(store: Store) -> None:
    whole = open_sharded_array(Path(store.path("latents/validation")), "latents")[:]
    for number, (start, n) in enumerate(ranges(len(whole), 64)):
        encode(EncodeRequest(store, "data", f"{BELOW}/model", "again", "validation", number, start, n))
    np.testing.assert_array_equal(
        open_sharded_array(Path(store.path("again/validation")), "latents")[:], whole
    )


def test_an_exported_model_needs_its_own_folder_alone(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.path(f"{ABOVE}/model"), tmp_path / "alone")
    generator, card, config = artifact.load_model(tmp_path / "alone")
    assert config.upstream["autoencoder"].family == BELOW
    below, _, _ = artifact.load_model(store.path(f"{BELOW}/model"))
    state = generator.state_dict()
    assert all(torch.equal(state[f"autoencoder.{name}"], value) for name, value in below.state_dict().items())
    images = generate.draw(generator, card, n=3, seed=0, labels=np.arange(3))
    assert images.shape == (3, *tiny.CARD.shape)


def test_batches_carry_the_latents_of_their_images(store: Store) -> None:
    plain = tiny.split()
    latents = np.random.default_rng(0).normal(size=(len(plain), 2, 2, 4, 4)).astype(np.float16)
    split = replace(plain, latents=ShardedArray([latents]))
    batches = Batches(split, 8, seed=3)
    rows = batches.index(batches.positions(11, 1, 2))
    result = batches.at(11, 1, 2)
    torch.testing.assert_close(result.latent, torch.from_numpy(latents[rows]).float(), rtol=0, atol=0)
    assert Batches(plain, 8, 3).at(0).latent is None
    torch.testing.assert_close(
        validation_batches(split, 8)[2].latent, torch.from_numpy(latents[16:24]).float()
    )
    with pytest.raises(AssertionError, match="as they are"):
        Batches(split, 8, 3, flips=True)


def test_the_page_names_what_a_stage_builds_on(tmp_path: Path) -> None:
    stages = [
        {"name": "train", "family": BELOW, "key": "k1", "uri": "store/train/k1", "upstream": []},
        {"name": "train", "family": ABOVE, "key": "k2", "uri": "store/train/k2", "upstream": ["k1"]},
    ]
    store = Store(str(tmp_path))
    store.write_json("runs/r/run.json", {"run_id": "r", "status": "running", "stages": stages})
    page = store.read_text(build_run(store, "r"))
    assert page.count(f"<td>{BELOW}</td>") == 2, "its own line, and the one of what builds on it"
