"""A sweep as a user runs it: the command line, Prefect, Ray Tune and Ray Train together, on a tiny family."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.common import errors
from components.data.local import data_version
from components.pipeline import sweep
from components.records.run import RunManifest
from components.store import Store
from flows import sweep_setup
from flows.cli import app
from flows.cli.run import newest_interrupted
from flows.record import redacted
from tests.flows.test_pipeline import Atelier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SWEEP: dict[str, Any] = {
    "data": {"name": "digits"},
    "families": {"dcgan": {"width": 8, "latent": 8}},
    "train": {"workers": 0, "steps": 16, "batch": 16, "precision": "float32", "sample_images": 20},
    "evaluate": {"samples": 64, "extractor_epochs": 1, "study_samples": 0},
    "sweep": {
        "search": {"lr": None, "beta1": [0.0, 0.5]},
        "trials": 4,
        "steps": 8,
        "judgements": 4,
        "grace": 1,
        "samples": 64,
        "diversity": 0,
        "finalists": 2,
        "final_samples": 64,
        "fresh_seeds": 2,
    },
}


POPULATION = 1  # a seed with which a trial wins that went on from another


class Sweeps(Atelier):
    """`atelier sweep` on a config of its own."""

    def config(self, **changes: Any) -> Path:
        path = self.store.parent / f"{self.store.name}.yaml"
        settings = SWEEP | {"store": {"url": str(self.store)}}
        path.write_text(yaml.safe_dump(settings | {"sweep": settings["sweep"] | changes}))
        return path

    def sweep(self, *arguments: str, code: int = 0, **changes: Any) -> Any:
        done = self.call("sweep", str(self.config(**changes)), "--json", *arguments, code=code)
        return json.loads(done.stdout)

    def files(self) -> dict[str, float]:
        """When the results of trials were written."""
        found = self.store.glob("store/trial/*/attempts/*/result.json")
        return {str(path): path.stat().st_mtime for path in found}


@pytest.fixture
def sweeps(home: Path, prefect_server: str, ray_cluster: str, tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path / "store")


def told(swept: dict[str, Any]) -> list[Any]:
    """What of a sweep does not depend on the clock."""
    trials = [
        (t["number"], t["values"], t["state"], [s["value"] for s in t["curve"]]) for t in swept["trials"]
    ]
    return [trials, [one["mean"] for one in swept["finalists"]], swept["winner"]["number"]]


def test_a_killed_sweep_goes_on_to_what_it_would_have_been(sweeps: Sweeps, tmp_path: Path) -> None:
    """And a finished trial is never run again; what is published is the winner at full budget."""
    command = [sys.executable, "-m", "flows.cli", "sweep", str(sweeps.config())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 600
    while not sweeps.files() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = sweeps.files()
    assert before

    result = json.loads(sweeps.call("sweep", str(sweeps.config()), "--resume", "--json").stdout)
    swept = result["sweep"]
    assert [run.name for run in sweeps.store.glob("runs/*")] == [result["run_id"]], "in the same run"
    assert result["status"] == "done" and before.items() <= sweeps.files().items()
    assert [t["number"] for t in swept["trials"]] == [1, 2, 3, 4] and swept["settings"]["concurrent"] == 2
    assert swept["trials"][0]["values"] == {"lr": 2e-4, "beta1": 0.5}
    assert {t["state"] for t in swept["trials"]} <= {"done", "stopped"}
    assert len(swept["finalists"]) == 2 and all(len(one["repeats"]) == 2 for one in swept["finalists"])
    assert swept["duel"]["seeds"] == [1000, 1001] and len(swept["duel"]["winner"]) == 2
    states = {f"{s['name']} {s['family'] or ''}".strip(): s["state"] for s in result["stages"]}
    assert {"sweep dcgan", "confirmation dcgan", "train dcgan", "evaluate dcgan", "publish"} <= set(states)
    assert states["train dcgan"] == "cached"  # the duel had trained it
    page = (sweeps.store / result["report"]).read_text()
    assert f"Trial {swept['winner']['number']} won: lowest mean of 2 seeds." in page

    other = Sweeps(tmp_path / "other")
    assert told(other.sweep()["sweep"]) == told(swept)

    latest = ("sweep", "--resume-run", "latest", "--store", str(sweeps.store), "--json")
    for again in (sweeps.sweep(), json.loads(sweeps.call(*latest).stdout)):  # nothing to do
        assert {s["state"] for s in again["stages"]} == {"cached"}
    # As Prefect's schedules call it, in a process of its own: Ray's token is read when it is imported.
    call = f"from flows.schedule import scheduled; print(scheduled({str(sweeps.config())!r}))"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    record = Store(str(sweeps.store)).read_json(f"runs/{done.stdout.split()[-1]}/run.json")
    assert {stage["state"] for stage in record["stages"]} == {"cached"}


def test_a_population_is_replayed_as_a_schedule(sweeps: Sweeps) -> None:
    changes: dict[str, Any] = {"search": {"lr": None, "beta1": None}, "finalists": 1, "fresh_seeds": 0}
    result = sweeps.sweep(scheduler="pbt", seed=POPULATION, **changes)
    swept = result["sweep"]
    exploits = [d for d in swept["decisions"] if d["did"] == "exploited"]
    assert exploits and all("goes on from trial" in d["why"] for d in exploits)
    schedules = [t["schedule"] for t in swept["trials"] if t["schedule"]]
    assert schedules and all(entry["step"] in (0, 2, 4, 6) for s in schedules for entry in s)
    numbers = {t["number"] for t in swept["trials"]}
    taken = {entry["from"] for s in schedules for entry in s if "from" in entry}
    assert taken and taken <= numbers
    assert {number for d in exploits for number in (d["trial"], d["donor"])} <= numbers
    assert all(d["values"].keys() == {"lr", "beta1"} for d in exploits)

    schedule = swept["winner"]["schedule"]
    assert schedule, "this seed's winner is one"
    store = Store(str(sweeps.store))
    (uri,) = {s["uri"] for s in store.read_json(result["manifest"])["stages"] if s["name"] == "train"}
    trained = store.read_json(f"{uri}/spec.json")["settings"]
    assert {name: trained[name] for name in ("lr", "beta1")} == schedule[0]["values"]
    stretched = [{"step": 2 * entry["step"], "change": entry["values"]} for entry in schedule[1:]]
    assert trained["train"]["milestones"] == stretched, "twice the steps of a trial"


def test_settings_of_sampling_are_searched_on_one_trained_model(sweeps: Sweeps) -> None:
    families = "families={diffusion: {width: 16, sampler_steps: 2}}"
    search = {"sampler_steps": [1, 2, 3], "guidance": [1.0, 2.0]}
    changes: dict[str, Any] = {"search": search, "finalists": 1, "repeats": 1, "fresh_seeds": 1}
    result = sweeps.sweep("--set", families, "--set", "train.steps=8", **changes)
    found = result["sweep"]
    assert found["kind"] == "sampling" and found["settings"]["rungs"] == [], "there is one judgement"
    assert {t["state"] for t in found["trials"]} == {"done"} and len(found["trials"]) == 4
    own = {"sampler_steps": 2, "guidance": 1.5}
    assert own in [one["values"] for one in found["finalists"]], "what the winner is to beat"
    assert set(found["winner"]["values"]) == set(search) and found["duel"]["seconds_per_image"]["winner"] > 0
    trained = [s for s in result["stages"] if s["name"] == "train"]
    assert [s["family"] for s in trained] == ["diffusion"], "once"
    page = (sweeps.store / result["report"]).read_text()
    assert "Both draw with the same model" in page and "trained at full budget" not in page


def test_workers_of_a_trial_run_from_judgement_to_judgement(sweeps: Sweeps) -> None:
    changes = {"trials": 2, "workers": 2, "judgements": 2, "finalists": 1, "repeats": 1, "fresh_seeds": 0}
    found = sweeps.sweep("--set", "train.shards=2", **changes)["sweep"]
    assert found["settings"]["concurrent"] == 1  # each trial takes both cores
    assert all(len(t["curve"]) in (1, 2) and t["state"] in ("done", "stopped") for t in found["trials"])


# Bad input


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        app.main(["sweep", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sweep.search={momentum: }", "dcgan has no such hyperparameter"),
        ("sweep.search={lr: {low: 2, high: 1}}", "the range is empty"),
        ("sweep.search={lr: []}", "the list is empty"),
        ("sweep.metric=rfid", "is not accepted"),
        ("sweep.metric=mse", "mse compares images with what they should be, which dcgan is not told"),
        ("sweep.family=vae", "name the family to search, one of: dcgan"),
        (
            "sweep.search={train.steps: [8, 16]}",
            "train.steps cannot be searched: all trials have it in common",
        ),
        ("sweep.steps=10", "steps=10 cannot be cut into judgements=4 equal parts"),
        ("train.health=treat", "trials: train.health=treat changes settings"),
        ("train.milestones=[{step: 4, change: {lr: 0.1}}]", "trials: train.milestones"),
        (
            "sweep={search: {lr: , beta1: [0.0, 0.5]}, searcher: grid, points: 9, judgements: 4, grace: 1}",
            "the grid has 18 points, of which sweep.trials=16 would leave some out",
        ),
        (
            "sweep={search: {train.ema_ramp_up: }, scheduler: pbt}",
            "scheduler: pbt changes a family's settings as it trains, and train.ema_ramp_up is one",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(
    change: str, says: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Sweeps(tmp_path / "store").config()
    assert says in refused(capsys, str(path), "--set", change)
    assert not (tmp_path / "store").exists()


def test_a_population_cannot_go_on_with_another_network(home: Path, tmp_path: Path) -> None:
    from flows import setup

    data_version(home, "digits", None)
    config = Sweeps(tmp_path / "store").config(search={"width": [8, 16]}, scheduler="pbt")
    plan = setup.plan_of(sweep_setup.from_file(config, []), Store(str(tmp_path / "store")))
    assert plan is not None
    with pytest.raises(
        errors.InputError, match="search.width: with 16 the generator would have another shape"
    ):
        plan.check_population()
    assert sweep.spec(plan, "dcgan").settings["searched"][0]["values"] == [8, 16]


def test_settings_of_sampling_are_searched_without_a_population(home: Path, tmp_path: Path) -> None:
    changes = ["families={diffusion: {}}", "sweep.search={guidance: [1.0, 2.0]}"]
    config = Sweeps(tmp_path / "store").config()
    for scheduler in ("asha", "pbt"):
        with pytest.raises(
            errors.InputError, match="guidance is of sampling: search it with scheduler: none"
        ):
            sweep_setup.from_file(config, [*changes, f"sweep.scheduler={scheduler}"])
    settings = sweep_setup.from_file(config, changes).sweep
    assert settings is not None and settings.scheduler == "none"  # where nothing else was asked for
    cheap = [*changes, "sweep.searcher=optuna", "sweep.cost=true"]
    settings = sweep_setup.from_file(config, cheap).sweep
    assert settings is not None and settings.scheduler == "none"
    training = sweep_setup.from_file(config, ["sweep.searcher=optuna", "sweep.cost=true"]).sweep
    assert training is not None and training.scheduler == "none"
    with pytest.raises(errors.InputError, match="cost: true needs searcher: optuna and scheduler: none"):
        sweep_setup.from_file(config, [*cheap, "sweep.scheduler=asha"])


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


def test_a_sweep_whose_data_changed_is_not_resumed(home: Path, tmp_path: Path) -> None:
    data_version(home, "digits", None)
    sweeps = Sweeps(tmp_path / "store")
    config = sweep_setup.from_file(sweeps.config(), []).model_dump(mode="json")
    lineage = {"config": config, "data": {"name": "digits", "version": "f" * 32 + ".dir"}}
    record = RunManifest(run_id="x", lineage=lineage)
    with pytest.raises(errors.InputError, match="sweep x searched on version ffffffffff of digits, and"):
        sweep_setup.interrupted(Store(str(sweeps.store)), record)
    with pytest.raises(errors.InputError, match="leaves out publish.url.*: atelier sweep x.yaml"):
        private = {"withheld": ["publish.url"], "command": "atelier sweep x.yaml"}
        sweep_setup.interrupted(Store(str(sweeps.store)), record.model_copy(update=private))
    with pytest.raises(errors.InputError, match="run x is no sweep"):
        sweep_setup.interrupted(Store(str(sweeps.store)), RunManifest(run_id="x"))
