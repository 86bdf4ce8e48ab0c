"""Loading an extractor."""

import pytest
import torch

from components.common.errors import InputError
from components.data.dataset import open_split
from components.extractors.load import load_extractor
from components.extractors.small import train_extractor


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


@pytest.fixture(scope="module")
def classifier(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    train_extractor(*splits[:2], folder, "classifier", 2)
    return load_extractor(folder)


def test_loading_leaves_the_random_state_alone(splits, tmp_path):
    train_extractor(*splits[:2], tmp_path, "classifier", 1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_extractor(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_changed_weights_are_refused(splits, tmp_path):
    train_extractor(*splits[:2], tmp_path, "classifier", 1)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(tmp_path)
    with pytest.raises(InputError, match="no extractor here"):
        load_extractor(tmp_path / "nowhere")
