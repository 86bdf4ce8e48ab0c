"""Loading an extractor."""

import io

import pytest
import torch
from torch import nn

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


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Blank(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            assert state == {}

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    torch.manual_seed(0)
    network = Blank("inception-v3-compat", ["2048"], nothing)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.1)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path
