"""`atelier anomaly`: anomalous images by their reconstruction error."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.analysis import anomaly_scores
from components.common.errors import InputError
from components.data.dataset import ShardedArray, Split
from components.families import artifact
from components.records.model import ModelConfig, ReconstructionErrors
from components.sampling import reconstruction_error
from components.store import Store
from components.training import request
from flows.cli import app
from models.data_spec import DataSpec
from models.family import Batch, Generator
from tests import tiny

CARD = DataSpec(1, 8)


class Flat(Generator):
    """Gives each image back as its mean grey."""

    def __init__(self) -> None:
        super().__init__()
        self.latent, self.unused = 1, torch.nn.Parameter(torch.zeros(()))

    def code(self, batch: Batch) -> torch.Tensor:
        assert batch.image is not None
        return batch.image.flatten(1).mean(1, keepdim=True)

    def picture(self, z: torch.Tensor, batch: Batch) -> torch.Tensor:
        return z[:, :, None, None].expand(-1, *CARD.shape)


def greys(spreads: list[float]) -> np.ndarray:
    """Images whose error is the square of a spread, about."""
    signs = np.where(np.indices((8, 8)).sum(0) % 2, 1, -1)
    return np.stack([(128 + 255 * s * signs).round().astype(np.uint8)[None] for s in spreads])


ERRORS = ReconstructionErrors(measure="mse", split="validation", n=1, values=[0.1])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny autoencoder whose errors of validation images are known."""
    store = Store(str(tmp_path))
    family = tiny.trainer("autoencoder").family
    job = request.TrainRequest(
        "autoencoder", family.config.model_dump(mode="json"), {}, data="", attempt="", store=""
    )
    errors = reconstruction_error.validation_errors(family.generator, tiny.split(), "cpu", 1000)
    artifact.save_model(store, "model", job.family, job.config, family.generator, family.card, errors=errors)
    return tmp_path / "model"


def folder_of(images: np.ndarray, folder: Path) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"{i}.png")
    return folder


def test_errors_are_mean_squares_of_pixels_from_0_to_1() -> None:
    errors = reconstruction_error.errors_of(Flat(), greys([0.0, 0.1, 0.3] * 40))
    np.testing.assert_allclose(errors[:3], [0, 0.01, 0.09], atol=2e-3)
    np.testing.assert_array_equal(errors[:3], errors[-3:])


def test_known_errors_are_in_order_and_of_validation() -> None:
    split = Split(ShardedArray([greys([0.3, 0.1, 0.2])]))
    errors = reconstruction_error.validation_errors(Flat(), split, "cpu", 1000)
    assert errors.n == 3 and errors.split == "validation"
    np.testing.assert_allclose(errors.values, [0.01, 0.04, 0.09], atol=2e-3)


def test_strange_images_are_flagged_first(model: Path, tmp_path: Path) -> None:
    errors = json.loads((model / "config.json").read_text())["errors"]["values"]
    folder = folder_of(tiny.split(16).images[:], tmp_path / "images")
    scores = anomaly_scores.score_folder(str(folder), model, 0.5)
    scored = scores.images
    assert scores.validation_images == len(errors) and not scores.error_alone
    assert len(scored) == 16
    assert [one.score for one in scored] == sorted((one.score for one in scored), reverse=True)
    assert all(one.flagged == (one.score > 1) for one in scored)
    assert 0 < sum(one.flagged for one in scored) < 16
    anomaly_scores.write_csv(scored, tmp_path / "out" / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert [row["file"] for row in rows] == [one.file for one in scored]
    assert [bool(int(row["flagged"])) for row in rows] == [one.flagged for one in scored]


def test_transparent_images_are_on_the_background_of_the_data(tmp_path: Path) -> None:
    """The clear image is black where the data are on black, and white where that is asked for."""
    store, folder = Store(str(tmp_path)), tmp_path / "images"
    fields = {"errors": ERRORS, "background": "black"}
    job = request.TrainRequest(
        "autoencoder", tiny.trainer("autoencoder").family.config.model_dump(mode="json"), {}, "", "", ""
    )
    artifact.save_model(
        store, "model", job.family, job.config, tiny.trainer("autoencoder").family.generator, CARD, **fields
    )
    folder_of(np.stack([np.full((1, 8, 8), level, np.uint8) for level in (0, 255)]), folder)
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / "clear.png")
    for background, same in ((None, "0.png"), ("white", "1.png")):
        scores = anomaly_scores.score_folder(str(folder), tmp_path / "model", 0.9, background)
        by_file = {one.file: one.score for one in scores.images}
        assert by_file["clear.png"] == by_file[same]
    with pytest.raises(InputError, match="background 'snow white' is not a colour"):
        anomaly_scores.score_folder(str(folder), tmp_path / "model", 0.9, "snow white")


@pytest.mark.parametrize("quantile", [0.0, 1.0, -3.0])
def test_a_quantile_lies_between_0_and_1(model: Path, tmp_path: Path, quantile: float) -> None:
    with pytest.raises(InputError, match=f"--quantile {quantile:g}: between 0 and 1"):
        anomaly_scores.score_folder(str(tmp_path), model, quantile)


def test_what_encodes_nothing_scores_nothing(tmp_path: Path) -> None:
    store, family = Store(str(tmp_path)), tiny.trainer("gan").family
    job = request.TrainRequest(
        "gan", family.config.model_dump(mode="json"), {}, data="", attempt="", store=""
    )
    artifact.save_model(store, "model", job.family, job.config, family.generator, family.card)
    with pytest.raises(InputError, match="gan does not score images"):
        anomaly_scores.score_folder(str(tmp_path), tmp_path / "model", 0.9)


def test_what_is_told_the_class_scores_nothing(tmp_path: Path) -> None:
    store, family = Store(str(tmp_path)), tiny.trainer("vae", change={"conditional": True}).family
    job = request.TrainRequest(
        "vae", family.config.model_dump(mode="json"), {}, data="", attempt="", store=""
    )
    artifact.save_model(store, "model", job.family, job.config, family.generator, family.card, errors=ERRORS)
    with pytest.raises(InputError, match="this vae is told classes, which images of a folder do not have"):
        anomaly_scores.score_folder(str(tmp_path), tmp_path / "model", 0.9)


def test_bad_images_are_left_out_and_told(model: Path, tmp_path: Path) -> None:
    folder = folder_of(tiny.split(2).images[:], tmp_path / "images")
    values = np.zeros((8, 8), np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(folder / "nan.tiff")
    scores = anomaly_scores.score_folder(str(folder), model, 0.9)
    assert len(scores.images) == 2 and [file for file, _ in scores.left_out] == ["nan.tiff"]
    assert "nan.tiff: values that are not finite (NaN or infinity)" in scores.notice
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no images"):
        anomaly_scores.score_folder(str(empty), model, 0.9)


def smooth(random: np.random.RandomState, n: int) -> np.ndarray:
    """Pictures of 8 x 8 pixels whose neighbours are alike."""
    x = np.linspace(0, np.pi, 8)
    waves = np.sin(random.uniform(0.5, 1.5, (n, 1, 1)) * x[:, None] + random.uniform(0, 6, (n, 1, 1)) + x)
    return (128 + 100 * waves).astype(np.uint8)[:, None]


def rule(images: np.ndarray, quantile: float = 0.95) -> anomaly_scores.Rule:
    split = Split(ShardedArray([images]))
    return anomaly_scores.Rule.of(
        reconstruction_error.validation_errors(Flat(), split, "cpu", 1000), quantile
    )


def flagged_for(judge: anomaly_scores.Rule, images: np.ndarray) -> list[str]:
    """Why each image is flagged; empty where it is not."""
    errors = reconstruction_error.errors_of(Flat(), images)
    names = [str(i) for i in range(len(images))]
    return [one.because * one.flagged for one in judge.scored(names, errors, images)]


def test_noise_and_images_of_one_colour_are_flagged_though_they_come_back_well() -> None:
    """The model gives the mean grey back: the error of faint noise is below that of ordinary pictures."""
    random = np.random.RandomState(0)
    judge = rule(smooth(random, 200))
    noise = random.normal(128, 55, (5, 1, 8, 8)).clip(0, 255).astype(np.uint8)
    plain = np.stack([np.full((1, 8, 8), level, np.uint8) for level in (0, 128, 255)])
    ordinary = reconstruction_error.errors_of(Flat(), smooth(random, 200))
    assert reconstruction_error.errors_of(Flat(), np.concatenate([noise, plain])).max() < np.median(ordinary)
    assert flagged_for(judge, noise) == ["roughness"] * 5
    assert flagged_for(judge, plain) == ["lack of contrast"] * 3
    halves = np.zeros((1, 1, 8, 8), np.uint8)
    halves[..., 4:] = 255
    assert flagged_for(judge, halves) == ["reconstruction error"]


@pytest.mark.parametrize(("n", "quantile"), [(39, 0.95), (400, 0.95), (400, 0.8)])
def test_as_many_ordinary_images_are_flagged_as_the_threshold_promises(n: int, quantile: float) -> None:
    random, shares = np.random.RandomState(1), []
    for _ in range(40):
        why = flagged_for(rule(smooth(random, n), quantile), smooth(random, 100))
        shares.append(np.mean([bool(each) for each in why]))
    assert 0.25 * (1 - quantile) <= np.mean(shares) <= 1.3 * (1 - quantile)


def test_models_of_earlier_versions_judge_by_the_error_alone() -> None:
    judge = anomaly_scores.Rule.of(ERRORS, 0.95)
    assert list(judge.limits) == ["reconstruction error"]
    assert flagged_for(judge, greys([0.1, 0.4])) == ["", "reconstruction error"]


# The command


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `atelier anomaly`."""
    with pytest.raises(SystemExit) as ended:
        app.main(["anomaly", *arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def run(home: Path, tmp_path: Path, model: Path) -> str:
    """A store with a run of three families, of which the last alone can score."""
    store, stages = Store(str(tmp_path / "store")), []
    for name, change in (("gan", {}), ("vae", {"conditional": True}), ("autoencoder", {})):
        family = tiny.trainer(name, change=change).family
        job = request.TrainRequest(
            name, family.config.model_dump(mode="json"), {}, data="", attempt="", store=""
        )
        errors = ModelConfig.read(json.loads((model / "config.json").read_text())).errors
        artifact.save_model(
            store,
            f"export/{name}/attempts/1",
            job.family,
            job.config,
            family.generator,
            family.card,
            errors=errors if name != "gan" else None,
        )
        stage = {"name": "export", "family": name, "state": "ran", "uri": f"export/{name}", "attempt": 1}
        stages.append(stage)
    store.write_json("runs/r1/run.json", {"run_id": "r1", "stages": stages})
    return store.url


def test_the_command_flags_and_ends_with_0(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = folder_of(tiny.split(6).images[:], tmp_path / "images"), tmp_path / "scores.csv"
    arguments = [str(folder), "--store", run, "--quantile", "0.2"]
    code, out, _ = call(capsys, *arguments, "--json", "-o", str(output))
    result = json.loads(out)
    assert code == 0 and result["flagged"] == sum(image["flagged"] for image in result["images"])
    assert [row["file"] for row in csv.DictReader(output.open())] == [
        image["file"] for image in result["images"]
    ]
    err = call(capsys, *arguments, "-o", str(output))[2]
    assert err.endswith("next: look at the flagged images; --quantile flags more or fewer\n")
    code, out, _ = call(capsys, *arguments, "--family", "autoencoder")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 8 and lines[0].split() == ["image", "score", "error", "flagged", "for"]
    assert lines[-1].startswith(
        f"{result['flagged']} of 6 images are flagged: they score above 1, as about 80 % of ordinary images "
        "do"
    )


def test_files_that_are_left_out_are_named_on_standard_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tiny.split(2).images[:], tmp_path / "images")
    (folder / "broken.png").write_bytes(b"not a picture")
    code, out, err = call(capsys, str(folder), "--run", str(model), "--json")
    assert code == 0 and len(json.loads(out)["images"]) == 2
    assert [file for file, _ in json.loads(out)["skipped_files"]] == ["broken.png"]
    assert "left out 1 of 3 images, which cannot be used: broken.png: not an image of a known" in err
    assert err.rstrip().splitlines()[-2].endswith("; 2 are scored")
    assert err.rstrip().endswith(f"scored by {model}")


def test_names_that_are_no_text_are_kept_as_they_are(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = folder_of(tiny.split(1).images[:], tmp_path / "images"), tmp_path / "scores.csv"
    (folder / "0.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    code, out, _ = call(capsys, str(folder), "--run", str(model), "-o", str(output))
    assert code == 0 and b"caf\xe9.png," in output.read_bytes() and "caf\ufffd.png" in out
    assert json.loads(call(capsys, str(folder), "--run", str(model), "--json")[1])["images"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--family", "gan"], "gan does not score images"),
        (["--family", "vae"], "this vae is told classes"),
        (
            ["--family", "dcgan"],
            "no run in the store has a model of family 'dcgan' (did you mean 'gan'?); known: gan, vae, auto",
        ),
        (["--run", "r2"], "there is no run 'r2' in the store"),
        (["--quantile", "1"], "--quantile 1: between 0 and 1"),
        (["--background", "snowy"], "background 'snowy' is not a colour"),
    ],
)
def test_what_cannot_be_scored_ends_with_2(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    folder, output = folder_of(tiny.split(2).images[:], tmp_path / "images"), tmp_path / "scores.csv"
    code, out, err = call(capsys, str(folder), "--store", run, "-o", str(output), *arguments)
    assert code == 2 and out == "" and not output.exists()
    assert words in err and len(err.splitlines()) == 1


def test_a_run_without_encoders_scores_nothing(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(run)
    record = store.read_json("runs/r1/run.json")
    store.write_json("runs/r1/run.json", record | {"stages": record["stages"][:2]})
    for option, whose in (([], f"no run in {run} has a"), (["--run", "r1"], "run r1 has no")):
        code, _, err = call(capsys, str(tmp_path), "--store", run, *option)
        assert code == 2 and f"{whose} model that encodes images" in err
        assert "train one: `atelier run " in err and "of run r1, then name its run" in err
    store.write_json("runs/r1/run.json", record | {"stages": []})
    assert (
        "train one: `atelier run --only vae --set data.name=NAME`"
        in call(capsys, str(tmp_path), "--store", run)[2]
    )


@pytest.mark.parametrize("n", [2, 3, 50])
@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.999])
def test_quantiles_leave_out_each_value_itself(n: int, quantile: float) -> None:
    values = np.random.default_rng(0).uniform(size=n).round(1)  # some are equal
    others = [np.quantile(np.delete(values, i), quantile) for i in range(n)]
    result = anomaly_scores.quantiles_of_others(values, quantile)
    np.testing.assert_allclose(result, np.maximum(others, anomaly_scores.LEAST))
