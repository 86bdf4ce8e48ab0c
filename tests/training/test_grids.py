"""The pictures next to the sample grids of a training, by the family's task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.data.dataset import open_split
from components.families import catalogue
from components.families.artifact import load_model
from components.sampling import generate, sheets
from components.sampling.sheets import grid, ungrid
from components.store import Store
from components.training import job, request
from tests import tiny
from tests.families.translators import with_sources


def pictures(store: Store) -> dict[str, np.ndarray]:
    """The pictures of a training, (N, 3, 8, 8) each."""
    names = [name for name in store.list("attempt/samples") if name.endswith(".webp")]
    read = {name: sheets.decode_webp(store.read_bytes(f"attempt/samples/{name}")) for name in names}
    return {name.removesuffix(".webp"): ungrid(array, 8) for name, array in read.items()}


@pytest.mark.parametrize("family", ["pix2pix", "cyclegan"])
def test_sources_truth_and_the_other_direction_are_drawn(digits: Path, tmp_path: Path, family: str) -> None:
    store = Store(str(tmp_path))
    data = with_sources(digits, Path(store.path("data")), side=8)
    train = tiny.settings(steps=2, snapshot_samples=0, sample_images=10, num_snapshots=1)
    config = catalogue.config_of(family, tiny.CONFIGS[family])
    job.fit(request.TrainRequest(family, config, train.model_dump(), "data", "attempt", store))
    drawn, split = pictures(store), open_split(data, "validation", sources=True)
    rows = sheets.grid_rows(split, 10)
    images = np.repeat(split.images[rows], 3, axis=1)
    if family == "pix2pix":
        assert drawn.keys() == {"step-0000000", "step-0000002", "kept", "source", "given"}
        np.testing.assert_array_equal(drawn["source"], images)
        assert len(drawn["given"]) == 10
        return
    steps = {f"{way}-{step:07d}" for way in ("step", "backward") for step in (0, 2)}
    assert drawn.keys() == steps | {"kept", "given", "backward-given"}
    np.testing.assert_array_equal(drawn["backward-given"], images)
    generator, card, _ = load_model(store.path("attempt/model"))
    back = generate.draw(
        generator, card.reversed(), n=10, seed=0, sources=split.images[rows], method="backward"
    )
    last = drawn["backward-0000002"].astype(int)
    assert np.abs(last - ungrid(grid(back), 8)).max() <= 1 and last.std() > 0
