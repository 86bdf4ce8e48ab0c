"""Models on disk: what was saved comes back, and what does not fit is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from components.common.errors import InputError
from components.families import artifact
from components.store import Store
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    family = tiny.trainer("dcgan").family
    config = family.config.model_dump(mode="json")
    artifact.save_model(Store(str(tmp_path)), "model", "dcgan", config, family.generator, tiny.CARD, ["0"])
    return tmp_path / "model"


def test_what_was_saved_comes_back(folder: Path) -> None:
    generator, card, config = artifact.load_model(folder)
    assert card == tiny.CARD and config.labels == ["0"] and not generator.training
    expected = tiny.trainer("dcgan").family.generator.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in generator.state_dict().items())


def test_a_setting_is_changed_where_the_family_has_it_and_accepts_it(folder: Path) -> None:
    assert artifact.load_model(folder, {"lr": ("--lr", 0.5)})[2].config["lr"] == 0.5
    with pytest.raises(InputError, match="--guidance 2: dcgan has no such setting"):
        artifact.load_model(folder, {"guidance": ("--guidance", 2)})
    with pytest.raises(InputError, match="--lr -1 is not accepted"):
        artifact.load_model(folder, {"lr": ("--lr", -1)})


def test_what_is_no_model_is_one_sentence(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(described | {"config": described["config"] | {"width": 16}})
    )
    with pytest.raises(InputError, match="do not fit"):
        artifact.load_model(folder)
    (folder / "config.json").write_text(json.dumps({"family": "dcgan"}))
    with pytest.raises(InputError, match="does not describe a model of this version"):
        artifact.load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        artifact.load_model(folder)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"it has no model\.safetensors"):
        artifact.load_model(folder)
