"""Small prepared data sets: the 8 x 8 digits of scikit-learn, and synthetic RGB images without labels.

Each folder of tests that imports these fixtures has its own; what they make, all share.
"""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.cluster import ray_cluster
from components.common.hashing import digest
from components.config.evaluate import Evaluate
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.evaluation.reference import EvaluationSample, Reference, describe
from components.extractors.load import load_extractor
from components.extractors.make import make as make_extractor
from components.store import Store
from tests.conftest import made_once

SPLITS = {"train": 1000, "validation": 390, "test": 400}


def prepared(folder: Path, images: np.ndarray, labels: np.ndarray | None) -> Path:
    """A prepared data set in `folder`, split in the order of `images`."""
    start, counts = 0, {}
    for split, count in SPLITS.items():
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images-00000.npy", images[start : start + count])
        if labels is not None:
            np.save(folder / split / "labels.npy", labels[start : start + count].astype(np.int64))
            counts[split] = np.bincount(labels[start : start + count], minlength=10).tolist()
        start += count
    files = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*.npy"))}
    card = DatasetCard(
        name=folder.name,
        title=folder.name,
        source="test",
        licence="test",
        credit="test",
        resolution=images.shape[2],
        channels=images.shape[1],
        labels=None if labels is None else [str(i) for i in range(10)],
        counts=SPLITS,
        label_counts=counts or None,
        files={name: {"sha256": digest(p, "sha256"), "bytes": p.stat().st_size} for name, p in files.items()},
    )
    (folder / "card.json").write_text(card.to_json())
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """1,790 real grey 8 x 8 digits, prepared."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.images))
    images = (data.images[order] * 15.9375).round().astype(np.uint8)[:, None]
    make = partial(prepared, images=images, labels=data.target[order])
    return made_once(tmp_path_factory, "digits8", make)


@pytest.fixture(scope="session")
def lamps(tmp_path_factory) -> Path:
    """RGB 16 x 16 images without labels, brighter at the top, so that rotations can be told."""
    random = np.random.RandomState(0)
    images = random.uniform(0, 120, (sum(SPLITS.values()), 3, 16, 16))
    images += np.linspace(120, 0, 16)[:, None] * random.uniform(0.5, 1, (len(images), 3, 1, 1))
    return made_once(
        tmp_path_factory, "lamps", partial(prepared, images=images.astype(np.uint8), labels=None)
    )


def make_reference(data: Path, folder: Path, settings: Evaluate) -> Path:
    """A reference in `folder`, its extractor in `folder`/extractor, without a store and without Ray."""
    splits = {split: open_split(data, split) for split in SPLITS}
    kind = "rotation" if splits["train"].labels is None else "classifier"
    make_extractor(kind, settings, splits["train"], splits["validation"], folder / "extractor")
    see = load_extractor(folder / "extractor")
    (folder / "features").mkdir()
    for name, split in splits.items():
        np.save(folder / "features" / f"{name}.npy", see(split.images[:]))
    describe(data, folder, folder / "extractor", settings.samples, classifier_steps=settings.classifier_steps)
    return folder


@pytest.fixture(scope="session")
def digits_reference(digits, tmp_path_factory) -> Path:
    settings = Evaluate(extractor_steps=160, classifier_steps=100)
    make = partial(make_reference, digits, settings=settings)
    return made_once(tmp_path_factory, "digits8-reference", make)


@pytest.fixture(scope="session")
def lamps_reference(lamps, tmp_path_factory) -> Path:
    make = partial(make_reference, lamps, settings=Evaluate(samples=100, extractor_steps=16))
    return made_once(tmp_path_factory, "lamps-reference", make)


@pytest.fixture(scope="session")
def digits_ref(digits, digits_reference, tmp_path_factory) -> Reference:
    ref = Reference.read(digits_reference, digits_reference / "extractor", digits)
    return replace(ref, computed=Store(str(tmp_path_factory.mktemp("baselines"))))


@pytest.fixture(scope="session")
def lamps_ref(lamps, lamps_reference) -> Reference:
    return Reference.read(lamps_reference, lamps_reference / "extractor", lamps)


def seen(ref: Reference, images: np.ndarray, labels: np.ndarray | None = None, **about) -> EvaluationSample:
    """Images as the extractor of `ref` sees them; where of given classes, a classifier is trained on them."""
    return EvaluationSample(ref.extractor(images), labels, None if labels is None else images, **about)


@pytest.fixture
def with_digits(tmp_path, digits, digits_reference) -> Store:
    """A store with the digits, their reference and its extractor."""
    store = Store(str(tmp_path / "store"))
    shutil.copytree(digits, store.path("prepared/data"))
    shutil.copytree(digits_reference, store.path("reference"))
    return store


@pytest.fixture
def here(monkeypatch) -> list[tuple[str, Any]]:
    """Jobs run in this process: their names and what they were told."""
    calls: list[tuple[str, Any]] = []

    def each(job: str, arguments: Any, **resources: Any) -> list[Any]:
        assert resources["cpus"] == 1
        results = []
        for each_one in arguments:
            calls.append((job.partition(":")[2], each_one))
            results.append(ray_cluster._run(job, *each_one))
        return results

    monkeypatch.setattr(ray_cluster, "each", each)
    return calls
