"""`atelier sample --truncation`: samples move towards the mean style."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.families import artifact, catalogue
from components.sampling.request import SampleOptions
from components.sampling.to_file import sample_to_file
from components.store import Store
from tests import tiny


def saved(name: str, folder: Path) -> Path:
    """The folder of an exported, untrained model."""
    torch.manual_seed(0)
    built = catalogue.build(name, tiny.CONFIGS[name], tiny.CARD)
    store = Store(str(folder))
    config = catalogue.config_of(name, tiny.CONFIGS[name])
    artifact.save_model(store, name, name, config, built.generator, tiny.CARD)
    return Path(store.path(name))


def test_samples_are_nearer_to_each_other_the_smaller_psi_is(tmp_path: Path) -> None:
    model = saved("stylegan2", tmp_path / "store")

    def spread(**settings: float) -> float:
        options = SampleOptions(**settings)
        return float(sample_to_file(model, tmp_path / "out.png", n=20, options=options).std(0).mean())

    whole, half, none = (spread(truncation=psi) for psi in (1.0, 0.5, 0.0))
    assert whole > half > none == 0 and spread() == whole
    assert spread(truncation=0.0, truncation_cutoff=0) == whole
    assert 0 < spread(truncation=0.0, truncation_cutoff=1) < whole
    with pytest.raises(InputError, match="--truncation 1.5 is not accepted: input should be less than or eq"):
        spread(truncation=1.5)
    with pytest.raises(InputError, match="--truncation -1 is not accepted: input should be greater than or"):
        spread(truncation=-1)


def test_other_families_have_no_such_setting(tmp_path: Path) -> None:
    model = saved("dcgan", tmp_path / "store")
    with pytest.raises(InputError, match="--truncation 0.7: dcgan has no such setting"):
        sample_to_file(model, tmp_path / "out.png", n=1, options=SampleOptions(truncation=0.7))


def test_the_same_seed_is_the_same_image(tmp_path: Path) -> None:
    model = saved("stylegan2", tmp_path / "store")
    first, second = (sample_to_file(model, tmp_path / "out.png", n=3, seed=2) for _ in range(2))
    assert np.array_equal(first, second)
