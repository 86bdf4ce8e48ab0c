"""Which images are encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.cluster import ray_cluster
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.families.resolve import resolved
from components.pipeline import latents
from components.pipeline.plan import Plan
from components.pipeline.stage import Context
from components.stages.cache import Done
from components.store import Store
from components.training.request import EncodeRequest

FAMILY = "latent_diffusion"
COUNTS = {"train": 700, "validation": 50, "test": 20}
CARD = DatasetCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1, counts=COUNTS
)


def plan(*, smoke: bool) -> Plan:
    experiment = Experiment(device="cpu", families={FAMILY: {}}, train={"smoke": smoke})
    return Plan(resolved(experiment, "cpu", "float32"), "0123.dir", CARD)


def encoded(store: Store, monkeypatch: pytest.MonkeyPatch, *, smoke: bool) -> list[EncodeRequest]:
    """The requests of the stage; each leaves the numbers of its images in place of their latents."""
    sent: list[EncodeRequest] = []

    def each(job: str, requests: list[tuple[EncodeRequest]], **resources: float) -> None:
        for (request,) in requests:
            sent.append(request)
            path = Path(store.path(f"{request.out}/{request.split}/latents-{request.number:05d}.npy"))
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, request.start + np.arange(request.n))

    monkeypatch.setattr(ray_cluster, "each", each)
    made = plan(smoke=smoke)
    spec = latents.spec(made, FAMILY)
    upstream = {
        name: Done(name, None, "", f"store/{name}", 1, "done", "", 0, "", 0.0, None, "")
        for name in spec.upstream
    }
    latents.run(Context(store, made, spec, store.child("attempt"), 1, upstream, "r"))
    return sent


def rows(store: Store, split: str) -> np.ndarray:
    files = sorted(Path(store.path(f"attempt/{split}")).glob("latents-*.npy"))
    return np.concatenate([np.load(file) for file in files])


def test_all_images_are_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    encoded(store, monkeypatch, smoke=False)
    for split in latents.SPLITS:
        np.testing.assert_array_equal(rows(store, split), np.arange(COUNTS[split]))


def test_a_smoke_run_encodes_few_images_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, few = Store(str(tmp_path)), latents.SMOKE_IMAGES
    sent = encoded(store, monkeypatch, smoke=True)
    assert [(each.split, each.n) for each in sent] == [("train", few), ("validation", 50)]
    result = rows(store, "train")
    np.testing.assert_array_equal(result, np.arange(len(result)) % few)
    assert len(result) >= COUNTS["train"] and len(rows(store, "validation")) == 50


def test_no_other_run_takes_the_few_latents_of_a_smoke_run() -> None:
    full, smoke = (latents.spec(plan(smoke=on), FAMILY) for on in (False, True))
    assert full.settings == {"threads": 1}
    assert smoke.settings == {"threads": 1, "images": latents.SMOKE_IMAGES} and smoke.key != full.key
