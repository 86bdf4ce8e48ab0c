"""A run with exported models, as its stages leave it, and its publication."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from components.common.hashing import digest
from components.data.dataset import Split, open_split
from components.publishing.publish import publish
from components.records.gate import Reproduction
from components.records.model import ModelConfig, ModelOrigin, PublishedSamples
from components.records.run import DataLineage, Hardware, Lineage, RunManifest, StageEntry
from components.sampling import generate, published
from components.store import Store
from tests.registry.judged import judgement
from tests.sampling.test_from_images import model as untrained

RUN = "20260501-run"
N = 20


def export(store: Store, split: Split, tmp_path: Path, family: str, **changes: Any) -> str:
    """Export an untrained model; return its folder in the store."""
    source, folder = untrained(tmp_path, family, 10, **changes), f"store/export/{family}/attempts/1"
    attempt = store.child(folder)
    for file in source.iterdir():
        attempt.write_bytes(file.name, file.read_bytes())
    content = attempt.read_json("config.json") | {"origin": ModelOrigin(run_id=RUN, step=4).to_json()}
    attempt.write_json("config.json", content)
    config = ModelConfig.model_validate(content)
    rows, fixed = published.fixed_conditions(config, split, N)
    record = PublishedSamples(n=len(rows), seed=7, threads=1)
    generator, card, _ = published.load_model(attempt.path())
    images = generate.draw(generator, card, n=len(rows), seed=7, **fixed)
    published.write(attempt, config, record, fixed, images, digest(source / "model.safetensors", "sha256"))
    attempt.write_text("README.md", "---\nlicense: mit\n---\n")
    attempt.write_json("result.json", {})
    return folder


def record(store: Store, folders: dict[str, str], drawn: Reproduction | None = None) -> RunManifest:
    """The record of a run with these exports."""
    stages = [StageEntry(name="prepare", state="cached", key="k0", sha256="0" * 64, cached_from="r0")]
    for family, folder in folders.items():
        train = {"name": "train", "family": family, "state": "ran", "sha256": "1" * 64}
        stages.append(StageEntry(**train, key=f"t{family}", upstream=["k0"]))
        uri = folder.removesuffix("/attempts/1")
        entry = {"name": "export", "family": family, "state": "ran", "uri": uri, "attempt": 1}
        stages.append(
            StageEntry(**entry, key=f"e{family}", upstream=[f"t{family}"], sha256="2" * 64, ended="E")
        )
    other = StageEntry(name="train", family="other", state="ran", key="to", sha256="3" * 64)
    data = DataLineage(name="digits", hash="4" * 64, version="abc.dir")
    lineage = Lineage(
        commit="c" * 40, dirty=False, data=data, config={"train": {"steps": 4}}, hardware=Hardware(cpu="x")
    )
    judged = [judgement(store, RUN, family, drawn=drawn) for family in folders]
    manifest = RunManifest(
        run_id=RUN, status="done", started="S", stages=[*stages, other], lineage=lineage, gate=judged
    )
    store.write_json(f"runs/{RUN}/run.json", manifest.to_json())
    store.write_text(f"runs/{RUN}/report/index.html", "<html></html>")
    return manifest


def published_run(
    tmp_path: Path, digits: Path, target: Store | None = None, *families: str
) -> tuple[Store, Store]:
    """A store with a run, and the folder where the run is published."""
    store, split = Store(str(tmp_path / "store")), open_split(digits, published.SPLIT)
    folders = {family: export(store, split, tmp_path, family) for family in families or ("cgan",)}
    first = next(iter(folders.values()))
    drawn = published.reproduce(store.local_copy(first))
    assert drawn.difference == 0
    place = (target or store.child("published")).child(RUN)
    publish(store, record(store, folders, drawn), place, folders, f"runs/{RUN}/report/index.html")
    return store, place


def noise(seed: int = 0, n: int = N, channels: int = 1, side: int = 8) -> np.ndarray:
    """Pictures of noise."""
    return np.random.RandomState(seed).randint(0, 256, (n, channels, side, side)).astype(np.uint8)
