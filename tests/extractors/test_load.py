"""Loading an extractor."""

import json

import pytest
import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.common.hashing import digest
from components.config.evaluate import Custom
from components.data.dataset import open_split
from components.extractors.files import write_config
from components.extractors.kinds import custom_preparation, custom_recipe
from components.extractors.load import load_extractor
from components.extractors.small import train_extractor
from components.records.extractor import ExpectedExtractor
from tests import limited


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


@pytest.fixture(scope="module")
def classifier(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    train_extractor(*splits[:2], folder, "classifier", 32)
    return load_extractor(folder)


def test_loading_leaves_the_random_state_alone(splits, tmp_path):
    train_extractor(*splits[:2], tmp_path, "classifier", 16)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_extractor(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_changed_weights_are_refused(splits, tmp_path):
    train_extractor(*splits[:2], tmp_path, "classifier", 16)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(tmp_path)
    with pytest.raises(InputError, match="no extractor here"):
        load_extractor(tmp_path / "nowhere")


class Writer(nn.Module):
    """A network that writes a file when it is called."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.path)
        return x.flatten(1)


@pytest.fixture
def planted(tmp_path):
    """A folder that says of itself that it is a custom extractor, and the file that it writes."""
    written = tmp_path / "written"
    folder = tmp_path / "extractor"
    folder.mkdir()
    torch.jit.script(Writer(str(written))).save(str(folder / "model.pt"))
    sha256 = digest(folder / "model.pt", "sha256")
    changes = {"network": None, "torchscript": True, "weights": "model.pt", "sha256": sha256}
    of = Custom(name="classifier", dim=5, resize=16, **changes).model_dump()
    write_config(folder, "custom:classifier", sha256, custom_preparation(of), custom_recipe(of))
    return folder, written


@pytest.mark.parametrize(
    "expected",
    [
        None,
        ExpectedExtractor("classifier"),
        ExpectedExtractor("classifier", "0" * 64),
        ExpectedExtractor("custom:classifier", "0" * 64),
    ],
)
def test_an_extractor_of_a_store_does_not_choose_its_own_loader(planted, expected, monkeypatch):
    folder, written = planted
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded code that nobody named"))
    with pytest.raises(
        InputError, match="evaluate.custom|is not the one that the experiment or the pin names"
    ):
        load_extractor(folder, expected)
    assert not written.exists()


def test_the_code_that_an_experiment_names_is_loaded(planted):
    folder, _ = planted
    hash = json.loads((folder / "config.json").read_text())["hash"]
    assert load_extractor(folder, ExpectedExtractor("custom:classifier", hash)).hash == hash


def test_the_pinned_hash_covers_what_config_json_says(splits, tmp_path):
    config = train_extractor(*splits[:2], tmp_path, "classifier", 16)
    pinned = ExpectedExtractor("classifier", config.hash)
    assert load_extractor(tmp_path, pinned).hash == config.hash
    described = json.loads((tmp_path / "config.json").read_text())
    for change in ({"weights_sha256": "0" * 64}, {"recipe": described["recipe"] | {"dim": 10}}):
        (tmp_path / "config.json").write_text(json.dumps(described | change))
        with pytest.raises(InputError, match="has changed since it was saved"):
            load_extractor(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="is not the one that the experiment or the pin names"):
        load_extractor(tmp_path, ExpectedExtractor("rotation", config.hash))


@pytest.mark.parametrize("change", [{"dim": 10**9}, {"width": 2**62}, {"unknown": 1}])
def test_weights_that_do_not_fit_are_refused_within_little_memory(splits, tmp_path, change):
    config = train_extractor(*splits[:2], tmp_path, "classifier", 16)
    write_config(tmp_path, config.name, config.weights_sha256, config.preparation, config.recipe | change)
    with pytest.raises(InputError, match="do not fit config.json"), limited.memory():
        load_extractor(tmp_path)


@pytest.mark.parametrize("text", ["[" * 10**6, "{", '{"name": "other", "hash": ""}', "[]"])
def test_what_describes_no_extractor_is_one_sentence(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="does not describe an extractor"):
        load_extractor(tmp_path)
