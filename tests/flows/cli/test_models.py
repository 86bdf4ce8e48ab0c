"""`atelier sample` and `atelier anomaly`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from components.analysis.anomaly_scores import Scores
from components.records.run import DataLineage, Lineage, RunManifest, StageEntry
from components.sampling import data_set
from components.store import Store
from flows.cli import models
from tests import limited
from tests.flows.cli.test_app import call


def test_what_needs_a_run_is_not_asked_of_a_folder(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.safetensors").touch()
    common = ["sample", str(tmp_path), "-o", str(tmp_path / "x.png")]
    for option in (["--nearest"], ["--prior", "mixture"]):
        code, _, err = call(capsys, *common, *option)
        assert code == 2 and f"{' '.join(option)}: name a run in the store" in err


def test_training_images_are_not_those_of_the_other_direction(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--source", "x.png", "--direction", "backward", "--nearest", "-o", str(tmp_path / "x.png")]
    code, _, err = call(capsys, "sample", str(tmp_path), *options)
    assert code == 2 and "--nearest: samples of the direction backward look like sources" in err


def test_a_config_that_asks_for_any_amount_of_memory_is_invalid_input(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    described = {"family": "vae", "config": {"hidden": 10_000_000}, "card": {"channels": 1, "resolution": 28}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    with limited.memory():
        code, _, err = call(capsys, "sample", str(tmp_path), "-o", str(tmp_path / "x.png"))
    assert code == 2 and "do not fit" in err and len(err.splitlines()) == 1


def test_a_picture_that_no_program_opens_is_refused_before_anything_is_drawn(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.safetensors").touch()  # would not do to draw
    described = {"family": "vae", "config": {}, "card": {"channels": 1, "resolution": 64}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    code, _, err = call(capsys, "sample", str(tmp_path), "-n", "50000", "-o", str(tmp_path / "x.png"))
    assert code == 2 and "would have 205 million pixels" in err and "with -o FOLDER/" in err


def test_the_only_model_of_a_run_needs_no_name(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, drawn = Store(str(tmp_path / "store")), list[str]()
    export = StageEntry(name="export", state="ran", family="vae", uri="store/export/k", attempt=1)
    manifest = RunManifest(run_id="r", status="done", stages=[export])
    store.write_json("runs/r/run.json", manifest.to_json())
    store.write_json(f"{manifest.models['vae']}/config.json", {})

    def draw(store: Store, model: str, target: object, **_: object) -> list[str]:
        drawn.append(model)
        return ["16 samples"]

    monkeypatch.setattr(data_set, "sample_data_set", draw)
    code, _, err = call(capsys, "sample", "r", "-o", f"{tmp_path}/x/", "--store", store.url)
    assert code == 0 and drawn == [manifest.models["vae"]] and "16 samples" in err


def test_what_to_do_with_samples_depends_on_where_they_are(tmp_path: Path) -> None:
    manifest = RunManifest(run_id="r", lineage=Lineage(data=DataLineage(name="mine")))
    assert (
        models.after_samples(tmp_path, "r", "vae", manifest, one_class=False)
        == f"atelier evaluate {tmp_path} --data mine"
    )
    assert (
        models.after_samples(tmp_path, "r", None, None, one_class=False)
        == f"atelier evaluate {tmp_path} --data NAME"
    )
    of_class = models.after_samples(tmp_path, "r", "vae", manifest, one_class=True)
    assert of_class.startswith("atelier sample r vae -o FOLDER/ draws all classes")
    one = models.after_samples(tmp_path / "x.png", "r", "vae", manifest, one_class=False)
    assert one == "atelier sample r vae -o FOLDER/ writes a file of each, which atelier evaluate reads"


def test_a_model_that_the_gate_did_not_bless_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"quality": {"reasons": [{"rule": "real", "passed": False, "text": "KID is 9"}]}, "export": {}}
    model = {"run_id": "r", "folder": "f", "files": []}
    of = {"data_set": "d", "data": "v"}
    gate = [
        {**of, "task": task, **failed, "model": {**model, "family": family}}
        for family, task in (("vae", "generate"), ("autoencoder", "reconstruct"))
    ]
    manifest = RunManifest.model_validate({"run_id": "r", "gate": gate})
    models.warn_unless_blessed(manifest, "vae")
    assert capsys.readouterr().err == (
        "the gate did not bless the samples of vae of run r, which says nothing about these scores: they are "
        "made of its reconstructions\n"
    )
    models.warn_unless_blessed(manifest, "autoencoder")
    assert capsys.readouterr().err == (
        "the gate did not bless the reconstructions of autoencoder of run r, so its scores may mislead: "
        "KID is 9\n"
    )
    models.warn_unless_blessed(manifest, "gan")
    assert capsys.readouterr().err == ""


def test_all_flagged_images_are_listed_and_at_least_some(capsys: pytest.CaptureFixture[str]) -> None:
    scored = [
        SimpleNamespace(file=f"{i}.png", score=2.5 - i, flagged=i < 2, because="roughness", error=0.1)
        for i in range(models.LISTED + 5)
    ]
    scores = Scores(scored, 400, False, [], "")
    models.show_scored(scores, 0.95)
    out, err = capsys.readouterr()
    assert out.count(".png") == models.LISTED and out.count("roughness") == 2 and not err
    assert (
        f"2 of {len(scored)} images are flagged: they score above 1, as about 5 % of ordinary images" in out
    )
    models.show_scored(replace(scores, validation_images=32), 0.95)
    assert "32 validation images are few, so the limit of 1 is rough" in capsys.readouterr().err
    assert "and 5 with lower scores" in out
    for one in scored:
        one.flagged = True
    models.show_scored(replace(scores, validation_images=9, error_alone=True), 0.95)
    assert "lower scores" not in (output := capsys.readouterr()).out
    assert "9 validation images are few: 10.0 % of ordinary" in output.err and "may miss noise" in output.err
    models.show_scored(scores, 0.95)
    assert "lower scores" not in capsys.readouterr().out
