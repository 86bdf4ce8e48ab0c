"""A publication is a whole run or none, and continues where it was cut off."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from components.common.hashing import sha256
from components.publishing import publish as publishing
from components.publishing.publish import MANIFEST, publish
from components.records.run import RunManifest
from components.store import Store, transfer
from components.store.transfer import Upload
from flows.cli import app
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
    publish(store, run_of(store), place, folders, PAGE, notes=(notes := list[str]()))
    assert notes == ["removed from the earlier publication: models/gone/model.safetensors"]
    assert {file["path"] for file in place.read_json(MANIFEST)["files"]} == set(place.find()) - {MANIFEST}
    assert place.read_text("report/index.html") == "<html>new</html>"
    assert not place.exists("models/gone/model.safetensors")


def test_a_file_that_others_write_just_now_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / ".tmp-b").write_bytes(b"half")
    assert [upload.path for upload in publishing.folder_files(tmp_path, "report")] == ["report/a"]


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it says of an error."""
    with pytest.raises(SystemExit) as ended:
        app.main(arguments)
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.s3
def test_a_bucket_has_runs_that_anyone_can_verify_and_sample(
    bucket: str,
    tmp_path: Path,
    digits: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    url = f"s3://{bucket}/public"
    store, place = published_run(tmp_path, digits, Store(url))
    model = f"{url}/{RUN}/models/cgan"
    assert called(capsys, "verify", f"{url}/{RUN}")[0] == 0
    for address in ((model,), (f"{url}/{RUN}", "cgan")):
        assert called(capsys, "sample", *address, "-n", "4", "-o", f"{tmp_path}/x.png")[0] == 0
        assert Image.open(tmp_path / "x.png").size == (32, 8)
    place.write_bytes("models/cgan/extra.bin", b"x")
    code, output = called(capsys, "verify", model)
    assert code == 1 and "extra.bin was added" in output
    code, output = called(capsys, "publish", RUN, "--to", url, "--store", store.url)
    assert code == 0 and "in s3://" in output and not place.exists("models/cgan/extra.bin")
    assert called(capsys, "verify", model)[0] == 0
    place.delete(MANIFEST)
    code, output = called(capsys, "verify", f"{url}/{RUN}")
    assert code == 2 and "which a run gets when it is published whole" in output
    code, output = called(capsys, "publish", RUN, "--to", "s3://no-such-bucket/x", "--store", store.url)
    assert code == 2 and "there is no such bucket" in output
    secret = "not-the-secret-of-this-server"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    for command in (("publish", RUN, "--to", url, "--store", store.url), ("verify", model)):
        code, output = called(capsys, *command)
        assert code == 2 and "access denied" in output and secret not in output


def test_a_run_without_models_or_one_that_runs_is_not_published(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for run in (RunManifest(run_id="1", status="failed"), RunManifest(run_id="2", heartbeat=now)):
        store.write_json(f"runs/{run.run_id}/run.json", run.to_json())
    for run_id, sentence in (("1", "has no exported model"), ("2", "has not ended yet"), ("3", "no run '3'")):
        code, output = called(capsys, "publish", run_id, "--store", store.url)
        assert code == 2 and sentence in output and not store.exists("published")
