"""Models on disk: what was saved comes back, and what does not fit is one sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from components.common.errors import InputError
from components.families import artifact
from components.families.catalogue import build, untrained
from components.store import Store
from tests import limited, tiny


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
    (folder / "config.json").write_text("\ufeff" + json.dumps(described), "utf-8")  # as editors write it
    artifact.load_model(folder)
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(InputError, match=r"model.safetensors is a Git LFS pointer .*: run `git lfs pull`"):
        artifact.load_model(folder)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"it has no model\.safetensors"):
        artifact.load_model(folder)


def test_a_small_file_cannot_ask_for_memory(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    asked: list[dict[str, Any]] = [{"width": 10**6}, {"latent": 10**12}, {"latent": 2**62}]
    for change in asked:
        (folder / "config.json").write_text(json.dumps(described | {"config": described["config"] | change}))
        with pytest.raises(InputError, match="do not fit|does not describe a model"), limited.memory():
            artifact.load_model(folder)


def test_networks_that_are_not_saved_are_limited(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    config = described["config"] | {"minibatch_discrimination": 10**9}
    (folder / "config.json").write_text(json.dumps(described | {"config": config}))
    with (
        pytest.raises(InputError, match=r"bytes of networks besides its weights; accepted"),
        limited.memory(),
    ):
        artifact.load_model(folder)


def test_a_network_of_other_names_than_its_weights_is_refused(folder: Path) -> None:
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"do not fit: \S+ is missing, and config.json needs \("):
        artifact.load_model(folder)


@pytest.mark.parametrize("name", [*tiny.CONFIGS, *tiny.VARIANTS])
def test_every_family_is_built_without_memory(name: str) -> None:
    family, changes = tiny.VARIANTS.get(name, (name, {}))
    card = tiny.card_of(name)

    def shapes() -> dict[str, torch.Size]:
        upstream = untrained(family, card, tiny.CONFIGS)
        built = build(family, {**tiny.CONFIGS[family], **changes}, card, upstream)
        return {key: value.shape for key, value in built.generator.state_dict().items()}

    with torch.device("meta"):
        expected = shapes()
    assert shapes() == expected


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_files_that_are_bombs_are_one_sentence_within_little_memory(folder: Path, file: str) -> None:
    contents = {"config.json": [b"[" * 10**6, b'{"config":' * 10**6]}
    contents["model.safetensors"] = [
        struct.pack("<Q", 2**63) + b"{}",  # the length of the header
        safetensors_of({"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
        safetensors_of({"x": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}),
        safetensors_of(
            {f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(10**5)}
        ),
    ]
    for content in contents[file]:
        (folder / file).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read|do not fit") as caught, limited.memory():
            artifact.load_model(folder)
        assert len(str(caught.value)) < 1000


def safetensors_of(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4)
