"""A publication is a whole run or none, and continues where it was cut off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.common.hashing import sha256
from components.publishing import publish as publishing
from components.publishing.publish import MANIFEST, publish
from components.records.run import RunManifest
from components.store import Store, transfer
from components.store.transfer import Upload
from tests.publishing.exported import RUN, published_run

PAGE = f"runs/{RUN}/report/index.html"


def run_of(store: Store) -> RunManifest:
    return RunManifest.model_validate(store.read_json(f"runs/{RUN}/run.json"))


def test_a_published_model_is_a_folder_of_the_hub(tmp_path: Path, digits: Path) -> None:
    store, place = published_run(tmp_path, digits)
    model = place.child("models", "cgan")
    assert {"model.safetensors", "config.json", "README.md", "samples.png", "samples/00.png"} <= set(
        model.find()
    )
    assert {"provenance.json", "sbom.cdx.json", "samples.json"} <= set(model.find())
    assert "result.json" not in model.find()
    listed = place.read_json(MANIFEST)["files"]
    assert {file["path"] for file in listed} == set(place.find()) - {MANIFEST}
    for file in listed:
        content = place.read_bytes(file["path"])
        assert (len(content), sha256(content)) == (file["bytes"], file["sha256"])
    statement = model.read_json("provenance.json")
    for subject in statement["subject"]:
        assert sha256(model.read_bytes(subject["name"])) == subject["digest"]["sha256"]
    assert {subject["name"] for subject in statement["subject"]} == set(model.find()) - {"provenance.json"}
    text = json.dumps(statement)
    assert str(tmp_path) not in text and str(Path.home()) not in text, "no path of this machine"


@pytest.mark.parametrize("url", ["{}/elsewhere", "memory://published-{}"])
def test_a_cut_off_publication_shows_nothing_and_continues(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    target = Store(url.format(tmp_path if url.startswith("{") else tmp_path.name))
    store, place = published_run(tmp_path, digits, target)
    folders = {"cgan": "store/export/cgan/attempts/1"}
    put, written = transfer._put, list[str]()

    def counted(target: Store, upload: Upload) -> None:
        written.append(upload.path)
        if len(written) == 3:
            raise KeyboardInterrupt
        put(target, upload)

    monkeypatch.setattr(transfer, "_put", counted)
    publish(store, run_of(store), place, folders, PAGE)
    assert written == [], "what is there is not copied again"
    store.write_text(PAGE, "<html>new</html>")
    (tmp_path / "store" / folders["cgan"] / "README.md").write_text("new")
    place.write_bytes("models/gone/model.safetensors", b"of an earlier publication")
    place.delete("models/cgan/model.safetensors")
    with pytest.raises(KeyboardInterrupt):
        publish(store, run_of(store), place, folders, PAGE)
    assert not place.exists(MANIFEST), "a mixture of old and new files does not look published"
    publish(store, run_of(store), place, folders, PAGE)
    assert {file["path"] for file in place.read_json(MANIFEST)["files"]} == set(place.find()) - {MANIFEST}
    assert place.read_text("report/index.html") == "<html>new</html>"
    assert not place.exists("models/gone/model.safetensors")


def test_a_file_that_others_write_just_now_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / ".tmp-b").write_bytes(b"half")
    assert [upload.path for upload in publishing.folder_files(tmp_path, "report")] == ["report/a"]
