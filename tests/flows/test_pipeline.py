"""A run as a user starts it: the command line, Prefect and Ray together, on tiny families."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.cluster.ray_cluster import connect
from components.records.evaluation import ExternalEvaluation
from flows import views
from tests.flows.canary import CANARY, places_with
from tests.flows.driver import TINY, WEIGHTS, Atelier, pngs, states, until

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]

FAMILIES = ("diffusion", "autoencoder", "vae", "dcgan")


@pytest.fixture(scope="module")
def shared(
    digits: Path, prefect_server: str, ray_cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> Atelier:
    return Atelier(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def first(shared: Atelier) -> dict[str, Any]:
    """A whole run, with a secret in the environment, in a setting and on the command line."""
    private = f"evaluate.inception_path=/home/{CANARY}/weights.pth"
    return shared.run("--set", private, CANARY_TOKEN=CANARY)


def test_a_run_leaves_its_secrets_nowhere(shared: Atelier, first: dict[str, Any]) -> None:
    """In no file: of the store with its pages and cards, of Prefect, of Ray's logs, of DVC."""
    import ray

    connect()
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    home = Path(os.environ["ATELIER_HOME"])
    places = [shared.store, Path(os.environ["PREFECT_HOME"]), session / "logs", home / ".dvc", home / "data"]
    assert places_with(first["run_id"], *places) and not places_with(CANARY, *places)


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
        views = {view["name"]: view for view in json.loads(used.read_text())["analysis"]["views"]}
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


def test_the_gate_judges_every_result_and_promotes_the_best(shared: Atelier, first: dict[str, Any]) -> None:
    record = json.loads((shared.store / first["manifest"]).read_text())
    judged = {judgement["model"]["family"]: judgement for judgement in record["gate"]}
    assert set(judged) == set(FAMILIES)
    for judgement in judged.values():
        samples = judgement["export"]["reasons"][-1]
        assert samples["text"] == "draws its 20 published samples again, bit for bit", samples
    best = {row["task"]: row["family"] for row in record["table"] if row["rank"] == 1}
    for task, family in best.items():
        folder = shared.store / "registry" / "digits" / task
        consumed = json.loads((folder / "champion.json").read_text())
        assert (consumed["family"], consumed["number"]) == (family, 1) and judged[family]["number"] == 1
        for file in consumed["files"]:
            content = (shared.store / consumed["url"] / file["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
    others = set(FAMILIES) - set(best.values())
    reasons = [judged[family]["quality"]["reasons"][0]["text"] for family in others]
    assert all("better" in text for text in reasons), reasons
    store = ["--store", str(shared.store)]
    listed = shared.call("champions", "digits", *store).stdout
    assert listed.count(first["run_id"]) == 4, "as a model and as the gate that promoted it, for both tasks"
    other = sorted(others)[0]
    refused = shared.call("promote", first["run_id"], other, *store, code=2).stderr
    assert "not better by more than the noise" in refused, refused


def test_any_folder_is_judged_like_a_run(
    shared: Atelier,
    first: dict[str, Any],
    digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = np.load(digits / "validation" / "images-00000.npy")[:64]
    labels = np.load(digits / "validation" / "labels.npy")[:64]
    folder = pngs(tmp_path / "mine", images, labels)
    common = ["--data", "digits", "--store", str(shared.store), "--json"]
    common += ["--set", "extractor_steps=16", "--set", "classifier_steps=8"]
    judged = json.loads(shared.call("evaluate", str(folder), *common, "--assume-independent").stdout)
    assert judged["images"] == 64 and judged["labelled"] and judged["preparation"] == "as they are"
    assert {"frechet_distance", "kid", "recall", "conditional_accuracy", "memorization_rate"} <= set(
        judged["metrics"]
    )
    run = next(r["metrics"] for r in first["results"] if r["family"] == "vae")
    for name in ("kid", "precision", "memorization_rate"):
        assert judged["metrics"][name]["comparability"] == run[name]["comparability"]
        assert judged["metrics"][name]["real_baseline"] == run[name]["real_baseline"]
    assert judged["metrics"]["frechet_distance"]["value"] < run["frechet_distance"]["value"], (
        "real digits are better"
    )
    kid = json.loads(shared.call("evaluate", str(folder), *common).stdout)["metrics"]["kid"]
    assert kid["value"] == judged["metrics"]["kid"]["value"]
    assert kid["comparability"] != run["kid"]["comparability"] and "as given" in kid["recipe"]["seeds"]
    views.show_judged(ExternalEvaluation.model_validate(judged))
    assert "real images" in (printed := capsys.readouterr().out)
    assert judged["metrics"]["kid"]["comparability"] in printed
    assert not list((shared.store / "scratch").rglob("*.npy")), "nothing is left behind"
    pin = json.loads(
        shared.call("extractor", "status", "digits", "--json", "--store", str(shared.store)).stdout
    )
    assert [(p["extractor"], p["number"], p["in_use"]) for p in pin] == [("classifier-16-steps", 1, True)]
    assert pin[0]["hash"] == kid["extractor_hash"]


def asked(url: str, what: str) -> Any:
    """What the Prefect server knows of flow runs or artifacts."""
    request = urllib.request.Request(f"{url}/{what}/filter", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_prefect_knows_the_run(prefect_server: str, first: dict[str, Any]) -> None:
    run = next(r for r in asked(prefect_server, "flow_runs") if first["run_id"] in r["name"])
    assert re.fullmatch(rf"digits [0-9a-f]{{10}}: {', '.join(FAMILIES)} \({first['run_id']}\)", run["name"])
    assert run["state_type"] == "COMPLETED" and {"data:digits", *FAMILIES} <= set(run["tags"])
    names = [r["name"] for r in asked(prefect_server, "task_runs") if r["flow_run_id"] == run["id"]]
    assert {"prepare", "train vae", "evaluate vae", "publish"} <= {
        re.sub("-[0-9a-f]{3}$", "", n) for n in names
    }
    kinds = {a["key"]: a["type"] for a in asked(prefect_server, "artifacts") if a["flow_run_id"] == run["id"]}
    assert kinds["results"] == "table" and kinds["page"] == "markdown"
    assert {"verdicts", "timeline"} <= kinds.keys()


def test_the_same_command_again_does_nothing_and_starts_neither_prefect_nor_ray(
    shared: Atelier, first: dict[str, Any], tmp_path: Path
) -> None:
    # Where there is no Ray: starting it would fail.
    nowhere = {"RAY_ADDRESS": "127.0.0.1:1", "PREFECT_API_URL": "", "PREFECT_HOME": str(tmp_path)}
    again = shared.run(**nowhere)
    assert not list(tmp_path.glob("prefect.db*")), "a server was started"
    assert set(states(again).values()) == {"cached"} and states(again).keys() == states(first).keys()
    for name in ("status", "results", "report"):
        assert again[name] == first[name]
    record, recorded_first = (
        json.loads((shared.store / run["manifest"]).read_text()) for run in (again, first)
    )
    assert record["ended"] and record["published"] == recorded_first["published"]
    assert record["table"] == recorded_first["table"] and record["gate"] == recorded_first["gate"]


def test_two_runs_with_another_learning_rate_share_the_work_on_one_family(
    shared: Atelier, first: dict[str, Any]
) -> None:
    changed = ("--set", "families.vae.lr=2e-3")
    plan = shared.call("run", str(TINY), "--plan", *shared.settings(changed)).stdout
    assert "settings.lr: 0.001 -> 0.002" in plan
    runs, weights = set(shared.store.glob("runs/*/run.json")), shared.weights("vae")
    process = shared.start(*changed)
    until(lambda: set(shared.store.glob("runs/*/run.json")) - runs or process.poll() is not None)
    results = [shared.run(*changed), json.loads(process.communicate(timeout=1000)[0])]
    cached, ran = sorted(results, key=lambda result: states(result)["train vae"])
    assert (states(cached)["train vae"], states(ran)["train vae"]) == ("cached", "ran")
    assert len(shared.weights("vae")) == len(weights) + 1
    computed = [title for result in results for title, state in states(result).items() if state == "ran"]
    stages = ("train", "evaluate", "export", "anomaly_models", "latent_analysis")
    of_family = {f"{stage} vae" for stage in stages}
    assert set(computed) == of_family | {"compare", "gate", "report", "publish"}
    assert not [title for title in of_family if computed.count(title) > 1], "one has waited for the other"
    explained = shared.call("explain", ran["run_id"], "--store", str(shared.store)).stdout
    assert "settings.lr: 0.001 -> 0.002" in explained


def test_a_failed_family_leaves_the_others_published(shared: Atelier, first: dict[str, Any]) -> None:
    only = ("--only", "autoencoder", "--only", "vae")
    result = shared.run(*only, "--set", "families.vae.lr=1e30", code=1)
    assert result["status"] == "partial" and states(result)["train autoencoder"] == "cached"
    assert states(result)["train vae"] == "failed" and states(result)["publish"] == "ran"
    record = json.loads((shared.store / result["manifest"]).read_text())
    error = next(s["error"] for s in record["stages"] if s["state"] == "failed")
    assert "became nan" in error or "became inf" in error
    assert "learning rate" in (shared.store / result["report"]).read_text()
    published = shared.store / "published" / result["run_id"] / "models"
    assert [p.name for p in published.iterdir()] == ["autoencoder"]


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


def test_whoever_has_a_publication_can_verify_it(
    shared: Atelier, first: dict[str, Any], tmp_path: Path
) -> None:
    moved = shutil.copytree(shared.store / "published" / first["run_id"], tmp_path / "moved")
    output = shared.call("verify", str(moved)).stdout
    assert "all files are as published" in output and output.count("samples again, bit for bit") == len(
        FAMILIES
    )
    provenance = json.loads((moved / "models" / "vae" / "provenance.json").read_text())
    dependencies = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"data/digits", "train vae", "evaluate vae"} <= {each["name"] for each in dependencies}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["diffusion", "--label", "eleven"], "unknown class"),
        (["vae", "-n", "0"], "at least one"),
        (["autoencoder"], "--source"),
        (["biggan"], "no model of family 'biggan'"),
        (["vae", "--prompt", "a seven"], "without captions"),
        (["diffusion", "--steps", "0"], "--steps 0 is not accepted"),
        (["vae", "--guidance-scale", "2"], "vae has no such setting"),
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


def test_a_run_begins_with_the_model_of_another(shared: Atelier, first: dict[str, Any]) -> None:
    begin = ("--only", "vae", *WEIGHTS, "--set", "families.vae.train.initial=latest/vae")
    done = shared.call("run", str(TINY), *shared.settings(begin))
    run_id = max(path.parent.name for path in shared.store.glob("runs/*/run.json"))
    record = json.loads((shared.store / "runs" / run_id / "run.json").read_text())
    initial = record["lineage"]["config"]["families"]["vae"]["train"]["initial"]
    assert len(initial["sha256"]) == 64
    taken = f"layers taken from {initial['model']}"
    terminal = " ".join(done.stdout.split() + done.stderr.split())
    assert re.search(rf"train vae: (\d+) of \1 {taken}", terminal), terminal
    assert set(record["results"][0]["train"]["initial"]["layers"].values()) == {"taken"}
    assert taken in (shared.store / "runs" / run_id / "report" / "index.html").read_text()
    (folder,) = (stage["uri"] for stage in record["stages"] if stage["name"] == "export")
    assert taken in (shared.store / folder / "attempts/1/README.md").read_text()

    again = shared.run("--only", "vae", *WEIGHTS, "--set", f"families.vae.train.initial={initial['model']}")
    assert states(again)["train vae"] == "cached"  # it begins with the same model, whatever it is called
    unfit = ("--only", "dcgan", *WEIGHTS, "--set", f"families.dcgan.train.initial={initial['model']}")
    refused = shared.call("run", str(TINY), *shared.settings(unfit), code=2)
    assert refused.stderr.splitlines()[-1].startswith("atelier: train.initial: no layer of ")
