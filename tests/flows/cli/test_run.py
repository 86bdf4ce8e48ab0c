"""prepare                                   runs: the data is not prepared yet
extractor                                 runs: the data is not prepared yet
reference                                 runs: the data is not prepared yet
train diffusion                           runs: the data is not prepared yet
evaluate diffusion                        runs: the data is not prepared yet
export diffusion                          runs: the data is not prepared yet
train autoencoder                         runs: the data is not prepared yet
evaluate autoencoder                      runs: the data is not prepared yet
export autoencoder                        runs: the data is not prepared yet
train vae                                 runs: the data is not prepared yet
evaluate vae                              runs: the data is not prepared yet
export vae                                runs: the data is not prepared yet
train dcgan                               runs: the data is not prepared yet
evaluate dcgan                            runs: the data is not prepared yet
export dcgan                              runs: the data is not prepared yet
compare                                   runs: the data is not prepared yet
report                                    runs: the data is not prepared yet
publish                                   runs: the data is not prepared yet
no estimate, since none of these stages has run here before; see the header of the config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.store import Store
from flows import sweep_setup
from flows.cli.run import newest_interrupted
from flows.record import redacted
from tests.flows.cli.test_app import call
from tests.flows.driver import Sweeps
from tests.flows.test_sweep_setup import refused


def test_a_plan_touches_nothing(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def files() -> list[Path]:
        return sorted(path for path in home.rglob("*") if ".atelier" not in path.parts)  # Prefect's own

    before = files()
    code, out, _ = call(capsys, "run", "--plan", "--json", "--set", f"store.url={tmp_path / 'store'}")
    rows = json.loads(out)
    assert code == 0 and all(row["because"].startswith("runs") for row in rows)
    assert {row["stage"] for row in rows} >= {"prepare", "train vae", "publish"}
    assert files() == before and not (tmp_path / "store").exists()


def test_a_plan_knows_the_classes(
    home: Path, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    changes = ["data.name=digits", "evaluate.held_out_classes=[3, eleven]", f"store.url={tmp_path / 'store'}"]
    code, out, err = call(capsys, "run", "--plan", *(word for c in changes for word in ("--set", c)))
    assert code == 2 and out == "" and "data set digits has no class 'eleven'" in err
    assert (
        call(capsys, "run", "--plan", "--set", changes[0], "--set", "evaluate.held_out_classes=[3]")[0] == 0
    )


def test_a_plan_repeats_the_minutes_that_the_config_states_for_what_it_says_alone(
    home: Path, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    elsewhere = ("--set", f"store.url={tmp_path / 'store'}")
    plan, stated = ("run", "configs/cpu/vae.yaml", "--plan", *elsewhere), "vae.yaml states in minutes"
    assert stated in call(capsys, *plan)[1]
    for changed in (("--only", "vae"), ("--set", "train.steps=9")):
        assert stated not in call(capsys, *plan, *changed)[1], changed


def test_a_config_without_a_sweep_is_refused(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("families: {dcgan: {}}")
    assert "has no section sweep" in refused(capsys, str(path))
    assert "name a config" in refused(capsys)
    assert "name a config" in refused(capsys, "--resume")
    assert "--set is for a config" in refused(capsys, "--resume-run", "latest", "--set", "sweep.trials=2")
    assert "name a config or a run" in refused(capsys, str(path), "--resume-run", "20260101-000000-aaaa")


def test_resume_continues_the_newest_interrupted_sweep_of_the_config(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps = Sweeps(tmp_path / "store")
    config, store = sweeps.config(), Store(str(sweeps.store))
    experiment = sweep_setup.from_file(config, [])
    settings = redacted(experiment)
    other = settings | {"evaluate": settings["evaluate"] | {"samples": 32}}
    states = (("1", "failed", settings), ("2", "running", settings), ("3", "done", settings))
    for run_id, status, swept in (*states, ("4", "failed", other)):
        lineage = {"config": swept, "data": {"name": "digits"}}
        store.write_json(f"runs/{run_id}/run.json", {"run_id": run_id, "status": status, "lineage": lineage})
    assert newest_interrupted(experiment, config) == "2"
    store.write_json("runs/2/run.json", {"run_id": "2", "status": "done", "lineage": {"config": settings}})
    assert newest_interrupted(experiment, config) == "1"
    store.delete("runs/1")
    assert "no sweep of" in refused(capsys, str(config), "--resume")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "head:6379"], ["--on head:6379", "ray://HOST:10001"]),
        (["--on", ""], ["--on : expected ray://HOST:10001"]),  # such as of a variable that is not set
        (["--on", "http://me:secret@head"], ["--on http://head", "RAY_AUTH_TOKEN"]),
        (["--on", "http://127.0.0.1:1"], ["device: auto", "cuda or cpu"]),
        (["--on", "http://127.0.0.1:1", "--set", "device=cpu"], ["output is a folder of this machine"]),
        (
            ["--on", "http://127.0.0.1:1", "--set", "device=cpu", "--set", "store.url=s3://no-bucket-x/y"],
            ["s3://no-bucket-x/y"],
        ),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_sentence(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    code, out, err = call(capsys, "run", *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert all(word in err for word in words) and "secret" not in err, err
