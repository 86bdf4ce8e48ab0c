"""The pipeline as a user runs it: the command line, Prefect and Ray together, on tiny families."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.cli import app

TINY = Path(__file__).parents[1] / "configs" / "tiny.yaml"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Atelier:
    """The command line, in the session's home, with the session's Prefect and Ray."""

    def __init__(self, store: Path):
        self.store = store

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]

    def run(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        """`atelier run --json`; the parsed result."""
        done = self.call("run", str(TINY), "--json", *self.settings(arguments), code=code, **environment)
        return json.loads(done.stdout)

    def settings(self, arguments: tuple[str, ...]) -> list[str]:
        return ["--set", f"store.url={self.store}", *arguments]

    def call(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        if code == 2 or arguments[0] in ("sample", "explain", "data", "extractor"):
            return self.inside(*arguments, code=code)
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=1000,
            env={**os.environ, **environment},
        )
        assert done.returncode == code, done.stderr[-3000:]
        assert "Traceback" not in done.stderr
        return done

    def inside(self, *arguments: str, code: int) -> subprocess.CompletedProcess[str]:
        """The same in this process, which has imported torch already."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            app.main(arguments)
        assert int(end.value.code or 0) == code, err.getvalue()
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = self.command("run", str(TINY), "--json", *self.settings(arguments))
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def weights(self, family: str) -> list[str]:
        """Hashes of every finished training's weights."""
        files = sorted(self.store.glob("store/train/*/attempts/*/model/model.safetensors"))
        of = [f for f in files if json.loads((f.parent / "config.json").read_text())["family"] == family]
        return [hashlib.sha256(f.read_bytes()).hexdigest() for f in of]


@pytest.fixture(scope="module")
def shared(
    digits: Path, prefect_server: str, ray_cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> Atelier:
    return Atelier(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def fresh(digits: Path, prefect_server: str, ray_cluster: str, tmp_path: Path) -> Atelier:
    return Atelier(tmp_path / "store")


@pytest.fixture(scope="module")
def first(shared: Atelier) -> dict[str, Any]:
    """A whole run."""
    return shared.run()


def states(result: dict[str, Any]) -> dict[str, str]:
    return {f"{s['name']} {s['family'] or ''}".strip(): s["state"] for s in result["stages"]}


FAMILIES = ("diffusion", "autoencoder", "vae", "dcgan")


def test_a_run_leaves_everything(shared: Atelier, first: dict[str, Any]) -> None:
    assert first["status"] == "done" and set(states(first).values()) == {"ran"}
    record = json.loads((shared.store / first["manifest"]).read_text())
    assert {r["family"] for r in record["results"]} == set(FAMILIES)
    lineage = record["lineage"]
    assert (
        lineage["data"]["version"].endswith(".dir")
        and lineage["config_hash"]
        and lineage["versions"]["torch"]
    )
    for result in first["results"]:
        for name, metric in result["metrics"].items():
            assert metric["n"] >= 8 and metric["comparability"], name
            assert np.isfinite(metric["value"])
    for family in FAMILIES:
        folder = shared.store / "published" / first["run_id"] / "models" / family
        assert {"model.safetensors", "config.json", "README.md"} <= {p.name for p in folder.iterdir()}
        assert "BSD" in (folder / "README.md").read_text()
    text = (shared.store / first["manifest"]).read_text()
    assert str(shared.store.parent) not in text and str(Path.home()) not in text, "no path of this machine"
    assert states(first)["anomaly_models autoencoder"] == states(first)["anomaly_models vae"] == "ran"
    for used in shared.store.glob("store/latent_analysis/*/attempts/1/result.json"):
        views = {view["name"]: view for view in json.loads(used.read_text())["used"]["views"]}
        assert [row["name"] for row in views["anomaly"]["tables"][0]["rows"]] == ["without 3", "mean"]
    assert (shared.store / first["report"]).exists() and (shared.store / "index.html").exists()
    manifest = json.loads((shared.store / "published" / first["run_id"] / "manifest.json").read_text())
    for entry in manifest["files"]:
        content = (shared.store / "published" / first["run_id"] / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_every_result_tells_best_from_last_and_has_neighbours(shared: Atelier, first: dict[str, Any]) -> None:
    record = json.loads((shared.store / first["manifest"]).read_text())
    for result in record["results"]:
        steps = {which: c["step"] for which, c in result["checkpoints"].items()}
        assert steps["last"] == result["train"]["steps"] and steps.get("best", 0) < steps["last"]
        assert result["kept"] == ("best" if "best" in steps else "last")
        assert result["metrics"] == result["checkpoints"][result["kept"]]["metrics"]
        assert result["selected_by"]["split"] == "validation"
        assert [point["step"] for point in result["curve"]] == [0, 6, 12]
        near = result["neighbours"]
        assert (near is None) is (result["task"] == "reconstruct")
        if near:
            assert len(near["distances"]) == near["count"] and (shared.store / near["path"]).exists()
    ranks = {row["family"]: row["rank"] for row in record["table"]}
    assert sorted(ranks.values()) == [1, 1, 2, 3] and ranks["autoencoder"] == 1


def pngs(folder: Path, images: np.ndarray, labels: np.ndarray | None = None) -> Path:
    for i, image in enumerate(images):
        target = folder if labels is None else folder / str(labels[i])
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(target / f"{i:04}.png")
    return folder


def test_any_folder_is_judged_like_a_run(
    shared: Atelier, first: dict[str, Any], digits: Path, tmp_path: Path
) -> None:
    images = np.load(digits / "validation" / "images-00000.npy")[:64]
    labels = np.load(digits / "validation" / "labels.npy")[:64]
    folder = pngs(tmp_path / "mine", images, labels)
    common = ["--data", "digits", "--store", str(shared.store), "--set", "extractor_epochs=1", "--json"]
    judged = json.loads(shared.call("evaluate", str(folder), *common, "--assume-independent").stdout)
    assert judged["images"] == 64 and judged["labelled"] and judged["preparation"] == "as they are"
    assert {"frechet_distance", "kid", "recall", "label_accuracy", "memorised"} <= set(judged["metrics"])
    run = next(r["metrics"] for r in first["results"] if r["family"] == "vae")
    for name in ("kid", "precision", "memorised"):
        assert judged["metrics"][name]["comparability"] == run[name]["comparability"]
        assert judged["metrics"][name]["floor"] == run[name]["floor"]
    assert judged["metrics"]["frechet_distance"]["value"] < run["frechet_distance"]["value"], (
        "real digits are better"
    )
    given = json.loads(shared.call("evaluate", str(folder), *common).stdout)["metrics"]["kid"]
    assert given["value"] == judged["metrics"]["kid"]["value"]
    assert given["comparability"] != run["kid"]["comparability"] and "as given" in given["recipe"]["seeds"]
    told = shared.call("evaluate", str(folder), *common[:-1]).stdout
    assert "real images" in told and given["comparability"] in told
    assert not list((shared.store / "scratch").rglob("*.npy")), "nothing is left behind"
    pin = json.loads(
        shared.call("extractor", "status", "digits", "--json", "--store", str(shared.store)).stdout
    )
    assert [(p["extractor"], p["number"], p["in_use"]) for p in pin] == [("classifier-1", 1, True)]
    assert pin[0]["hash"] == given["extractor_hash"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere"),
        (["empty"], "holds no images"),
        (["few"], "only 3 images to judge"),
        (["broken"], "broken.png"),
        (["coloured"], "colour"),
        (["few", "--split", "exam"], "--split exam"),
        (["few", "--extractor", "vgg"], "evaluate.extractor='vgg'"),
        (["few", "--set", "sample=3"], "evaluate.sample"),
        (["few", "--extractor", "inception", "--set", "inception_path=WEIGHTS"], "which FID needs"),
    ],
)
def test_what_cannot_be_judged(
    shared: Atelier, first: Any, arguments: list[str], words: str, tmp_path: Path
) -> None:
    digit = np.zeros((1, 1, 8, 8), np.uint8)
    (tmp_path / "empty").mkdir()
    pngs(tmp_path / "few", np.repeat(digit, 3, 0))
    pngs(tmp_path / "broken", np.repeat(digit, 12, 0))
    (tmp_path / "broken" / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "coloured").mkdir()
    for i in range(12):
        Image.new("RGB", (8, 8), (255, 0, i)).save(tmp_path / "coloured" / f"{i}.png")
    (tmp_path / "weights.pth").write_bytes(b"other weights")
    folder, *options = [a.replace("WEIGHTS", str(tmp_path / "weights.pth")) for a in arguments]
    epochs = ["--set", "extractor_epochs=1", "--data", "digits", "--store", str(shared.store)]
    done = shared.call("evaluate", str(tmp_path / folder), *options, *epochs, code=2)
    assert words in done.stderr.strip().splitlines()[-1] and done.stdout == ""


def asked(url: str, what: str) -> Any:
    """What the Prefect server knows of flow runs or artifacts."""
    request = urllib.request.Request(f"{url}/{what}/filter", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_prefect_knows_the_run(prefect_server: str, first: dict[str, Any]) -> None:
    run = next(r for r in asked(prefect_server, "flow_runs") if r["name"] == first["run_id"])
    assert run["state_type"] == "COMPLETED" and {"data:digits", *FAMILIES} <= set(run["tags"])
    names = [r["name"] for r in asked(prefect_server, "task_runs") if r["flow_run_id"] == run["id"]]
    assert {"prepare", "train vae", "evaluate vae", "publish"} <= {
        re.sub("-[0-9a-f]{3}$", "", n) for n in names
    }
    kinds = {a["key"]: a["type"] for a in asked(prefect_server, "artifacts") if a["flow_run_id"] == run["id"]}
    assert kinds["results"] == "table" and kinds["page"] == "markdown"


def test_the_same_command_again_does_nothing(shared: Atelier, first: dict[str, Any]) -> None:
    again = shared.run(RAY_ADDRESS="127.0.0.1:1")  # where there is no Ray: starting it would fail
    assert again["status"] == "done" and set(states(again).values()) == {"cached"}
    assert again["results"] == first["results"]


def test_one_learning_rate_redoes_one_family(shared: Atelier, first: dict[str, Any]) -> None:
    changed = ["--set", "families.vae.lr=2e-3"]
    plan = shared.call("run", str(TINY), "--plan", *shared.settings(tuple(changed))).stdout
    assert "settings.lr: 0.001 -> 0.002" in plan
    again = shared.run(*changed)
    ran = {title for title, state in states(again).items() if state == "ran"}
    of_family = {
        f"{stage} vae" for stage in ("train", "evaluate", "export", "anomaly_models", "latent_analysis")
    }
    assert ran == of_family | {"compare", "report", "publish"}
    told = shared.call("explain", "latest", "--store", str(shared.store)).stdout
    assert "settings.lr: 0.001 -> 0.002" in told


def test_force_and_explain(shared: Atelier, first: dict[str, Any]) -> None:
    options = ["--only", "autoencoder", "--force", "evaluate", "--explain"]
    done = shared.call("run", str(TINY), "--json", *shared.settings(tuple(options)))
    result = states(json.loads(done.stdout))
    assert result["evaluate autoencoder"] == "ran" and result["train autoencoder"] == "cached"
    assert "evaluate autoencoder: runs: forced" in done.stderr


def test_samples_of_an_exported_model(shared: Atelier, first: dict[str, Any], tmp_path: Path) -> None:
    common = ["sample", first["run_id"], "--store", str(shared.store), "-n", "20", "-o"]
    shared.call(*common[:2], "diffusion", *common[2:], str(tmp_path / "a.png"), "--label", "3")
    shared.call(*common[:2], "diffusion", *common[2:], str(tmp_path / "b.png"), "--label", "3")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size == (80, 16)
    beside = shared.call(*common[:2], "vae", *common[2:], str(tmp_path / "e.png"), "--nearest").stdout
    assert beside.split() == [str(tmp_path / "e.png"), str(tmp_path / "e-nearest.png")]
    assert Image.open(tmp_path / "e-nearest.png").size == (80, 32)
    folder = shared.store / "published" / first["run_id"] / "models" / "vae"
    shared.call("sample", str(folder), "-o", str(tmp_path / "c.webp"))
    Image.open(tmp_path / "a.png").save(tmp_path / "source.png")
    source = ["--source", str(tmp_path / "source.png")]
    shared.call(*common[:2], "autoencoder", *common[2:], str(tmp_path / "d.png"), *source)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["diffusion", "--label", "eleven"], "unknown class"),
        (["vae", "-n", "0"], "at least one"),
        (["autoencoder"], "--source"),
        (["biggan"], "no model of family 'biggan'"),
        (["vae", "--prompt", "a seven"], "without captions"),
        (["diffusion", "--steps", "0"], "--steps 0 is not accepted"),
        (["vae", "--guidance", "2"], "vae has no such setting"),
        (["vae", "--prior", "mixture", "--steps", "2"], "--steps does not go with --prior mixture"),
    ],
)
def test_bad_requests_for_samples(
    shared: Atelier, first: Any, arguments: list[str], words: str, tmp_path: Path
) -> None:
    command = [
        "sample",
        first["run_id"],
        *arguments,
        "--store",
        str(shared.store),
        "-o",
        str(tmp_path / "x.png"),
    ]
    assert words in shared.call(*command, code=2).stderr


def test_a_failed_family_leaves_the_others_published(fresh: Atelier) -> None:
    bad = ["--only", "autoencoder", "--only", "vae", "--set"]
    result = fresh.run(*bad, "families.vae.lr=1e30", code=1)
    assert result["status"] == "partial"
    assert states(result)["train vae"] == "failed" and states(result)["publish"] == "ran"
    record = json.loads((fresh.store / result["manifest"]).read_text())
    error = next(s["error"] for s in record["stages"] if s["state"] == "failed")
    assert "became nan" in error or "became inf" in error
    assert "learning rate" in (fresh.store / result["report"]).read_text()
    published = fresh.store / "published" / result["run_id"] / "models"
    assert [p.name for p in published.iterdir()] == ["autoencoder"]
    again = fresh.run(*bad, "families.vae.lr=1e-3")
    assert again["status"] == "done" and states(again)["train autoencoder"] == "cached"


WEIGHTS = ["--set", "evaluate.held_out=[]", "--set", "evaluate.uses=false"]  # nothing else is looked at here
LONG = [*WEIGHTS, "--only", "autoencoder", "--set", "train.steps=1200", "--set", "train.checkpoint_every=100"]
ONE = [*LONG, "--set", "train.workers=1"]
TWO = [*LONG, "--set", "train.workers=2", "--set", "train.shards=2"]


def until(condition: Callable[[], Any], seconds: float = 300) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def step(atelier: Atelier) -> int:
    """The step of the newest checkpoint."""
    found = atelier.store.glob("store/train/*/attempts/*/checkpoints/step-*.pt")
    return max((int(path.stem.removeprefix("step-")) for path in found), default=0)


def kill_worker_then_driver(atelier: Atelier, settings: list[str]) -> None:
    """Start or resume, and kill the first worker, then, once it has been replaced, the driver."""
    reached = step(atelier)
    process = atelier.start(*settings)
    until(lambda: step(atelier) > reached)
    note = json.loads(next(atelier.store.glob("store/train/*/attempts/*/progress.json")).read_text())
    assert note["step"] < note["steps"]
    os.kill(note["pid"], signal.SIGKILL)
    reached = step(atelier)
    until(lambda: step(atelier) > reached + 100)
    process.kill()
    process.communicate()
    assert not atelier.weights("autoencoder"), "it was over before it could be killed"


def test_one_worker_however_often_interrupted_ends_with_the_same_bits(fresh: Atelier, tmp_path: Path) -> None:
    """Ctrl-C, a killed worker, a killed driver; against a loop that nobody disturbs, outside of Ray."""
    calm = Atelier(tmp_path / "calm")
    calm.run(*LONG)

    process = fresh.start(*ONE)
    until(lambda: step(fresh) > 0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "run the same command again" in errors
    record = json.loads(next(fresh.store.glob("runs/*/run.json")).read_text())
    assert record["status"] == "interrupted"

    kill_worker_then_driver(fresh, ONE)
    assert fresh.run(*ONE)["status"] == "done"
    assert fresh.weights("autoencoder") == calm.weights("autoencoder")


def test_two_workers_interrupted_end_with_the_same_bits(fresh: Atelier, tmp_path: Path) -> None:
    """One of the two is killed, then the driver; against one process with both shards, left in peace."""
    calm = Atelier(tmp_path / "calm")
    calm.run(*LONG, "--set", "train.shards=2")

    kill_worker_then_driver(fresh, TWO)
    assert fresh.run(*TWO)["status"] == "done"
    assert fresh.weights("autoencoder") == calm.weights("autoencoder")


def test_two_identical_runs_share_the_work(fresh: Atelier) -> None:
    both = [fresh.start("--only", "vae", *WEIGHTS) for _ in range(2)]
    results = [json.loads(process.communicate(timeout=1000)[0]) for process in both]
    trained = sorted(states(result)["train vae"] for result in results)
    assert trained == ["cached", "ran"]
    assert len(fresh.weights("vae")) == 1


# Other data


def pictures(folder: Path, n: int, size: int, mode: str, classes: int = 0) -> Path:
    rng = np.random.default_rng(0)
    for i in range(n):
        low = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        image = Image.fromarray(low).resize((size, size), Image.Resampling.BICUBIC).convert(mode)
        target = folder / f"class {i % classes}" if classes else folder
        target.mkdir(parents=True, exist_ok=True)
        image.save(target / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(
    ("name", "size", "classes", "extractor"),
    [("plain64", 64, 0, "rotation"), ("kinds32", 32, 3, "classifier")],
)
def test_own_images(
    name: str, size: int, classes: int, extractor: str, fresh: Atelier, tmp_path: Path
) -> None:
    """The default config runs on any prepared set: unlabelled 64-pixel RGB, labelled 32-pixel RGB."""
    here = ("--set", "train.workers=0")
    source = pictures(tmp_path / "pictures", 120, size, "RGB", classes)
    fresh.call("data", "add", name, str(source), "--resolution", str(size))
    done = fresh.call("run", "--smoke", "--json", *fresh.settings(("--set", f"data.name={name}", *here)))
    result = json.loads(done.stdout)
    assert result["status"] == "done"
    used = {m["extractor"] for r in result["results"] for m in r["metrics"].values()} - {None}
    assert used == {extractor}


def test_an_older_revision_of_the_data(fresh: Atelier, tmp_path: Path) -> None:
    one = pictures(tmp_path / "one", 100, 32, "L")
    fresh.call("data", "add", "growing", str(one), "--resolution", "32")
    before = json.loads(fresh.call("data", "versions", "growing", "--json").stdout)[0]["version"]
    two = pictures(tmp_path / "two", 140, 32, "L")
    fresh.call("data", "add", "growing", str(two), "--resolution", "32", "--replace")
    old = ["--smoke", "--only", "vae", "--set", "data.name=growing", "--set", "evaluate.held_out=[]"]
    result = fresh.run(*old, "--set", f"data.revision={before[:10]}")
    record = json.loads((fresh.store / result["manifest"]).read_text())
    assert record["lineage"]["data"]["version"] == before
    assert sum(record["lineage"]["data"]["counts"].values()) == 100


@pytest.mark.s3
def test_a_store_in_s3(bucket: str, s3_env: Any, digits: Path, prefect_server: str, home: Path) -> None:
    """Everything in a bucket; a Ray of its own, since workers need the credentials from its start."""
    # a Prefect of its own too, as for a user who has none
    hidden = ("RAY_A", "PREFECT_API_URL", "PREFECT_HOME")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    command = [sys.executable, "-m", "flows.cli", "run", str(TINY), "--json", "--only", "vae"]
    command += ["--set", f"store.url=s3://{bucket}/atelier"]
    for expected in ("ran", "cached"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1000, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert set(states(json.loads(done.stdout)).values()) == {expected}
        assert environment["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
