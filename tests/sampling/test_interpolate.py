"""`atelier sample --interpolate`: an exported model has the weights of both networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.common.errors import InputError
from components.families import artifact, catalogue
from components.records.model import ModelConfig
from components.sampling.request import SampleOptions
from components.sampling.to_file import sample_to_file
from components.store import Store
from models.data_spec import DataSpec
from tests import tiny

CARD = DataSpec(3, 16)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An exported model whose two networks differ."""
    torch.manual_seed(0)
    built = catalogue.build(
        "esrgan", tiny.CONFIGS["esrgan"], CARD, catalogue.untrained("esrgan", CARD, tiny.CONFIGS)
    )
    for p in built.generator.get_submodule("network").parameters():
        p.data += 0.05 * torch.randn_like(p)
    config = catalogue.config_of("esrgan", tiny.CONFIGS["esrgan"])
    below = {"psnr": ModelConfig(family="rrdb", config=tiny.CONFIGS["rrdb"], card=CARD.to_json())}
    store = Store(str(tmp_path / "store"))
    artifact.save_model(store, "model", "esrgan", config, built.generator, CARD, upstream=below)
    return Path(store.path("model"))


def test_weights_between_the_networks_are_chosen_for_samples(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "small.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)).save(source)

    def sampled(alpha: float | None) -> np.ndarray:
        options = SampleOptions(source=source, interpolate=alpha)
        return sample_to_file(model, tmp_path / "out.png", n=1, options=options).astype(int)

    psnr, middle, gan = sampled(0.0), sampled(0.5), sampled(1.0)
    assert np.array_equal(sampled(None), gan) and not np.array_equal(psnr, gan)
    assert not np.array_equal(middle, gan) and not np.array_equal(middle, psnr)
    with pytest.raises(
        InputError, match="--interpolate 2 is not accepted: input should be less than or equal"
    ):
        sampled(2)


def test_other_families_have_no_such_setting(tmp_path: Path) -> None:
    built = catalogue.build("rrdb", tiny.CONFIGS["rrdb"], CARD)
    store = Store(str(tmp_path / "store"))
    config = catalogue.config_of("rrdb", tiny.CONFIGS["rrdb"])
    artifact.save_model(store, "model", "rrdb", config, built.generator, CARD)
    options = SampleOptions(interpolate=0.5)
    with pytest.raises(InputError, match="--interpolate 0.5: rrdb has no such setting"):
        sample_to_file(Path(store.path("model")), tmp_path / "out.png", n=1, options=options)
