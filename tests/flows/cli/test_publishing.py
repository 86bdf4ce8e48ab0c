"""`atelier publish` and `atelier verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.publishing.verify import Verified
from components.store import Store
from flows.cli.publishing import verified_model
from tests.flows.cli.test_app import call
from tests.publishing.exported import RUN, published_run

pytestmark = pytest.mark.usefixtures("home")


def test_a_run_is_published_elsewhere_and_verified(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = published_run(tmp_path, digits)
    there = tmp_path / "there"
    code, out, err = call(capsys, "publish", RUN, "--to", str(there), "--store", store.url)
    assert code == 0 and out.strip() == str(there / RUN) and "files of 1 model and the page" in err
    code, out, err = call(capsys, "verify", str(there / RUN))
    assert code == 0 and "all files are as published" in out and "bit for bit" in out
    assert f"next: atelier sample {there / RUN / 'models/cgan'} -n 16 -o samples.png" in err
    (there / RUN / "models/cgan/README.md").write_text("other")
    code, out, err = call(capsys, "verify", str(there / RUN), "--json")
    assert code == 1 and "README.md has other contents than were published" in err
    assert [model["folder"] for model in json.loads(out)] == ["", "models/cgan"]
    drawn = ("sample", str(there / RUN), "cgan", "-n", "1", "-o", str(tmp_path / "x.png"))
    assert call(capsys, *drawn)[0] == 0
    (there / RUN / "manifest.json").unlink()  # as of a publication that was cut off
    code, _, err = call(capsys, *drawn)
    assert code == 2 and "no run is published there" in err


def test_metrics_of_a_run_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, folder = Store(str(tmp_path / "store")), tmp_path / "my runs #1"
    lineage = {"config": {"families": {"cgan": {}}}}
    store.write_json("runs/r1/run.json", {"run_id": "r1", "status": "failed", "lineage": lineage})
    code, out, err = call(
        capsys, "export-metrics", "r1", "--to", "tensorboard", "-o", str(folder), "--store", store.url
    )
    assert (
        code == 0
        and out.strip() == str(folder / "r1" / "cgan")
        and f"next: tensorboard --logdir '{folder}'" in err  # which a shell takes as one folder
    )
    assert list((folder / "r1" / "cgan").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("place", ["/proc/nowhere", "FILE", "FILE/below"])
def test_metrics_are_not_exported_to_where_no_folder_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").write_text("x")
    store, folder = Store(str(tmp_path / "store")), place.replace("FILE", str(tmp_path / "file"))
    store.write_json("runs/r1/run.json", {"run_id": "r1", "status": "done", "started": "S"})
    arguments = ("export-metrics", "r1", "--to", "tensorboard", "-o", folder, "--store", store.url)
    code, _, err = call(capsys, *arguments)
    assert code == 2 and err == f"atelier: {folder}: the folder cannot be made there; name another\n"


def test_what_cannot_be_published_or_verified_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    for run_id, status, sentence in (("r1", "running", "r1"), ("r2", "failed", "has no exported model")):
        store.write_json(f"runs/{run_id}/run.json", {"run_id": run_id, "status": status, "started": "S"})
        code, _, err = call(capsys, "publish", run_id, "--store", store.url)
        assert code == 2 and sentence in err
    code, _, err = call(capsys, "verify", str(tmp_path / "nothing"))
    assert code == 2 and "nothing is published there" in err


def test_the_next_command_after_a_run_was_verified_needs_no_source(tmp_path: Path) -> None:
    families = {"autoencoder": "autoencoder", "vae": "vae"}
    for name, family in families.items():
        Store(tmp_path).write_json(f"models/{name}/config.json", {"family": family})
    verified = [Verified(), *(Verified(folder=f"models/{name}") for name in families)]
    assert verified_model(str(tmp_path), verified) == f"{tmp_path}/models/vae -n 16"
    assert verified_model(f"{tmp_path}/models/autoencoder", [Verified()]).endswith(
        "autoencoder --source IMAGE"
    )
