"""Judging jobs: the same numbers however many workers share them, and nothing whole that is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from components.common.chunks import ranges
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.evaluation import jobs
from components.evaluation.jobs import extract_features, sample
from components.evaluation.parts import merge_parts, read_part
from components.evaluation.requests import EvaluationPaths, SampleRequest
from components.extractors import load
from components.families import artifact, catalogue
from components.sampling import generate
from components.store import Store
from models import registry
from models.data_spec import DataSpec, SourceShape
from models.registry import FAMILIES
from tests.tiny import CONFIGS, WITHOUT_SOURCE

pytestmark = pytest.mark.slow

N = 150  # not a multiple of the chunk, so the last one is padded


def places(store: Store, parts: str) -> EvaluationPaths:
    return EvaluationPaths(store, "data", "reference/extractor", parts, "reference")


def drawn(store: Store, family: str, size: int, tmp_path: Any, *, backwards: bool = False) -> dict[str, Any]:
    """What jobs of `size` images each leave, in whatever order they are done."""
    parts = f"parts/{family}-{size}-{backwards}"
    work = ranges(N, size)
    for start, n in reversed(work) if backwards else work:
        part = sample(SampleRequest(places(store, parts), f"models/{family}", n, seed=5, start=start))
        assert part.n == n and part.seconds > 0
    out = tmp_path / parts
    out.mkdir(parents=True)
    names = ("features", "labels", "images", "pair-mse", "pair-ssim")
    return {name: merge_parts(store, parts, name, out) for name in names}


@pytest.mark.parametrize("family", WITHOUT_SOURCE)
def test_the_same_bits_for_any_number_of_workers(family: str, store: Store, tmp_path: Any) -> None:
    whole = drawn(store, family, 192, tmp_path)
    for size, backwards in ((64, False), (128, True)):
        shared = drawn(store, family, size, tmp_path, backwards=backwards)
        for name, array in whole.items():
            assert (array is None) == (shared[name] is None), name
            if array is not None:
                assert len(array) == N, "no remainder is drawn twice"
                np.testing.assert_array_equal(array, shared[name], err_msg=name)
    conditions = catalogue.conditions(family, CONFIGS[family], DataSpec(1, 8, 10))
    assert (whole["labels"] is not None) is ("label" in conditions)
    assert (whole["pair-mse"] is not None) is (FAMILIES[family].task != "generate")


def test_another_chunk_gives_the_same_within_rounding(store: Store, tmp_path: Any, monkeypatch: Any) -> None:
    whole = drawn(store, "diffusion", 192, tmp_path)
    generator, card, _ = artifact.load_model(store.path("models/diffusion"))
    conditions = {"labels": "data", "counts": [100] * 10, "seed": 5}
    images = [
        generate.draw(generator, card, n=64, batch=batch, **conditions).astype(int) for batch in (64, 16)
    ]
    assert np.abs(images[0] - images[1]).max() <= 1, "a pixel may round the other way"
    see = load.load_extractor(store.path("reference/extractor"))
    images = open_split(store.path("data"), "test").images[:]
    halves = np.concatenate([see(images[:200]), see(images[200:])])  # chunks cut elsewhere
    np.testing.assert_allclose(halves, see(images), rtol=1e-4, atol=1e-5)
    assert whole["features"] is not None and whole["features"].dtype == np.float32


def test_labels_follow_the_data(store: Store, tmp_path: Any) -> None:
    counts = DatasetCard.read(store.path("data")).label_counts["train"]
    labels = drawn(store, "diffusion", 64, tmp_path)["labels"]
    np.testing.assert_array_equal(labels, generate.labels_for(range(N), counts, 5))


def test_features_that_are_there_are_not_computed_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = places(store, "parts/real")
    extract_features(where, "test", 0, 64)
    monkeypatch.setattr(jobs, "load_extractor", lambda *_: pytest.fail("computed again"))
    extract_features(where, "test", 0, 64)


def test_a_part_is_complete_only_with_its_last_file(store: Store) -> None:
    job = SampleRequest(places(store, "parts/x"), "models/vae", 64, seed=1)
    first = sample(job)
    features = store.read_bytes("parts/x/00000000/features.npy")
    store.write_bytes("models/vae/model.safetensors", b"ruined: a part that is there is not drawn again")
    assert sample(job) == first == read_part(store, "parts/x", 0)
    store.delete("parts/x/00000000/done.json")
    assert read_part(store, "parts/x", 0) is None and features
    with pytest.raises(Exception, match="cannot be read"):
        sample(job)


def test_a_split_is_looked_at_in_ranges(store: Store, tmp_path: Any, digits_ref: Any) -> None:
    for start, n in ranges(400, 256):
        extract_features(places(store, "parts/real"), "test", start, n)
    result = merge_parts(store, "parts/real/test", "features", tmp_path)
    np.testing.assert_array_equal(result, digits_ref.splits["test"].features)


def test_translating_families_are_judged_against_their_targets(
    store: Store, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family that copies its source, on data whose sources are the targets with noise."""
    from models.autoencoder import Autoencoder
    from models.family import Batch, Noise

    class Copies(Autoencoder):
        task = "translate"
        needs = frozenset({"source"})

    card = DataSpec(1, 8, 10, source=SourceShape(1, 8))
    family = Copies(Copies.Config(**CONFIGS["autoencoder"]), card)

    def copy(self: Any, batch: Batch, noise: Noise) -> torch.Tensor:
        assert batch.source is not None and batch.image is None
        return batch.source

    monkeypatch.setattr(type(family.generator), "sample", copy)
    monkeypatch.setitem(registry.FAMILIES, "autoencoder", Copies)
    targets = open_split(store.path("data"), "test").images[:]
    np.save(
        store.path("data/test/sources-00000.npy"), np.clip(targets.astype(int) + 9, 0, 255).astype(np.uint8)
    )
    described = store.read_json("models/autoencoder/config.json")
    store.write_json("models/autoencoder/config.json", described | {"card": card.to_json()})
    result = drawn(store, "autoencoder", 64, tmp_path)
    expected = np.square((np.clip(targets[:N].astype(int) + 9, 0, 255) - targets[:N]) / 255).mean((1, 2, 3))
    np.testing.assert_allclose(result["pair-mse"], expected, atol=1e-6)
