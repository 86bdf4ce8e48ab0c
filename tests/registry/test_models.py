"""Finding exported models by their address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.common.hashing import sha256
from components.config.train import Initial
from components.records.stored import Publication, StoredFile
from components.registry.models import find_model, identified, local_model, read_weights
from components.store import Store
from tests.registry.exports import export, record

MODEL = {"model.safetensors": b"weights", "config.json": b"{}"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    export(store, "1", "vae", MODEL)
    record(store, "2")
    return store


def test_a_model_is_that_of_a_run_or_a_folder(store: Store) -> None:
    address, folder = find_model(store, "1/vae")
    assert address == "1/vae" and folder.read_bytes("model.safetensors") == b"weights"
    assert find_model(store, "latest/vae")[0] == "1/vae"
    assert find_model(store, folder.url)[1].url == folder.url
    assert find_model(store, f"file://{folder.url}")[1].url == folder.url


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("1/vea", r"run 1 has no model of family 'vea' \(did you mean 'vae'\?\); it has: vae$"),
        ("2/vae", "run 2 has no model of family 'vae'; it has: none$"),
        ("3/vae", "there is no run '3'"),
        ("latest/gan", "no run in the store has a model of family 'gan'"),
        ("vae", "'vae' names no model: give RUN/FAMILY, or"),
        ("/vae", "names no model"),
    ],
)
def test_a_model_that_does_not_exist_is_refused(store: Store, address: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        find_model(store, address)


def test_a_published_model_is_fetched_once_and_anew_where_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    run = Store(f"memory://{tmp_path.name}/7")
    for name, content in MODEL.items():
        run.write_bytes(f"models/vae/{name}", content)
    with pytest.raises(InputError, match=r"no run is published there: it gets manifest.json when"):
        local_model(run.url, "vae")
    run.write_json("manifest.json", {})
    folder = local_model(run.url, "vae")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == MODEL
    assert local_model(f"{run.url}/models/vae") == folder
    run.write_bytes("models/vae/config.json", b'{"other": 1}')
    assert (local_model(run.url, "vae") / "config.json").read_bytes() == b'{"other": 1}'
    run.write_json("manifest.json", manifest(sha256(b"published")))
    with pytest.raises(InputError, match=r"model.safetensors is not the file that was published"):
        local_model(run.url, "vae")
    named = "it needs config.json and model.safetensors; the published run has vae"
    with pytest.raises(InputError, match=f"is not a model folder: {named}"):
        local_model(run.url, "gan")


def manifest(weights: str) -> dict[str, Any]:
    """The manifest.json of a run with the model `vae`, whose weights have this hash."""
    file = StoredFile(path="models/vae/model.safetensors", bytes=7, sha256=weights)
    return Publication(run_id="7", files=[file]).to_json()


def test_a_published_folder_with_other_weights_is_refused(tmp_path: Path) -> None:
    run = Store(f"file://{tmp_path}/7")
    for name, content in MODEL.items():
        run.write_bytes(f"models/vae/{name}", content)
    weights = sha256(MODEL["model.safetensors"])
    run.write_json("manifest.json", manifest(weights))
    assert local_model(run.url, "vae") == tmp_path / "7/models/vae"
    run.write_bytes("models/vae/model.safetensors", b"other")
    with pytest.raises(InputError, match=r"model.safetensors is not the file that was published"):
        local_model(run.url, "vae")


def test_an_empty_folder_is_no_model(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a model folder: it has no model.safetensors"):
        identified(store, Initial(model=f"file://{tmp_path}/nothing"))


def test_a_model_is_identified_by_its_recorded_weights(store: Store) -> None:
    result = identified(store, Initial(model="latest/vae"))
    assert result == Initial(model="1/vae", sha256=sha256(b"weights"))
    assert read_weights(store, result) == b"weights"
    assert identified(store, result) == result
    with pytest.raises(InputError, match="and the settings ask for abc$"):
        identified(store, Initial(model="1/vae", sha256="abc"))


def test_weights_that_changed_since_the_export_are_refused(store: Store) -> None:
    result = identified(store, Initial(model="1/vae"))
    find_model(store, "1/vae")[1].write_bytes("model.safetensors", b"other")
    assert identified(store, Initial(model="1/vae")) == result  # what was recorded
    with pytest.raises(InputError, match="the weights of 1/vae have changed since they were exported"):
        read_weights(store, result)


def test_a_published_model_is_identified_by_the_list_of_its_publication(tmp_path: Path) -> None:
    public = Store(str(tmp_path / "public"))
    public.write_bytes("7/models/vae/model.safetensors", b"weights")
    address = Initial(model=public.child("7/models/vae").url)
    assert identified(public, address).sha256 == sha256(b"weights")  # of a copied folder, without a record
    public.write_json("7/manifest.json", manifest("recorded"))
    assert identified(public, address).sha256 == "recorded"
