"""What a sweep refuses before it begins, and which sweep it resumes."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common import errors
from components.data.local import data_version
from components.pipeline import sweep
from components.records.run import RunManifest
from components.store import Store
from flows import sweep_setup
from flows.cli import app
from tests.flows.driver import Sweeps


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
        ("sweep.metric=reconstruction_fid", "is not accepted"),
        ("sweep.metric=mse", "mse needs target images, which dcgan does not have"),
        ("sweep.family=vae", "name the family to search, one of: dcgan"),
        (
            "sweep.search={train.steps: [8, 16]}",
            "train.steps cannot be searched: all trials share it",
        ),
        ("sweep.steps=10", "steps=10 cannot be cut into evaluations=4 equal parts"),
        ("train.health=treat", "trials: train.health=treat changes settings"),
        ("train.setting_changes=[{step: 4, change: {lr: 0.1}}]", "trials: train.setting_changes"),
        (
            "sweep={search: {lr: , beta1: [0.0, 0.5]}, searcher: grid, grid_points: 9, evaluations: 4, "
            "grace_period: 1}",
            "the grid has 18 points, more than sweep.trials=16",
        ),
        (
            "sweep={search: {train.ema_rampup_ratio: }, scheduler: pbt}",
            "scheduler: pbt changes settings of the family only, so not train.ema_rampup_ratio",
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
    changes = ["families={diffusion: {}}", "sweep.search={guidance_scale: [1.0, 2.0]}"]
    config = Sweeps(tmp_path / "store").config()
    for scheduler in ("asha", "pbt"):
        with pytest.raises(
            errors.InputError, match="guidance_scale is a sampling setting: search it with scheduler: none"
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
    of = {"name": "x", "torchscript": True, "weights": "x.pt", "sha256": "0" * 64, "dim": 4, "resize": 8}
    evaluate = config["evaluate"] | {"extractor": "custom", "custom": of}
    with pytest.raises(errors.InputError, match="names a custom extractor, which is code"):
        lineage = {"config": config | {"evaluate": evaluate}, "data": {}}
        sweep_setup.interrupted(Store(str(sweeps.store)), RunManifest(run_id="x", lineage=lineage))
    with pytest.raises(errors.InputError, match="run x is not a sweep"):
        sweep_setup.interrupted(Store(str(sweeps.store)), RunManifest(run_id="x"))
