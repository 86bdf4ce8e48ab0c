"""What is exported of a run."""

from __future__ import annotations

import json
from pathlib import Path

from components.records.run import RunManifest
from components.registry.runs import find_run
from components.sinks import history
from components.sinks.history import History
from components.store import Store
from tests.report import fixture, sweeps


def test_a_family_has_the_rows_that_its_weights_build_on(treated: History) -> None:
    steps = [step for step, _, _ in treated.points]
    assert steps == list(range(25, 1001, 25)), "each once, those that treatments gave up are left out"
    step, time, values = next(treated.points)
    assert time == fixture.START.timestamp() + 1 + 0.13 * step == treated.time(step)
    assert "health/D(x)" in values and "seconds" not in values


def test_a_family_has_its_measures_settings_samples_and_diagnoses(store: Store, treated: History) -> None:
    assert treated.measures["frechet_distance"] == 14.2
    assert treated.measures["frechet_distance_of_real_images"] == 1.83
    assert treated.measures["kid_low"] < treated.measures["kid"] < treated.measures["kid_high"]
    assert treated.settings["families.dcgan.channels"] == "16" and treated.settings["train.steps"] == "1000"
    assert not any(name.startswith("families.vae") for name in treated.settings)
    assert treated.origins["commit"].startswith("0b6d7f") and treated.origins["data version"].endswith(".dir")
    assert [event.step for event in treated.diagnoses] == [700, 850]
    assert [sheet.step for sheet in treated.sheets] == [*fixture.STEPS, 750], "the last are the published"
    picture = history.image(store, treated.sheets[0])
    assert picture is not None and picture.shape == (224, 224, 3)
    assert history.image(store, history.Sheet("samples", 0, "nowhere.webp")) is None


def test_a_family_that_has_not_begun_has_nothing_yet(store: Store, run: RunManifest) -> None:
    _, waits = history.read(store, run)
    assert (waits.family, waits.rows, waits.measures, waits.sheets, waits.step) == ("vae", [], {}, [], 0)


def test_the_hash_changes_with_what_is_exported(store: Store, run: RunManifest, treated: History) -> None:
    assert treated.sha256 == history.read(store, run)[0].sha256
    run.results[0].metrics["kid"].value += 1
    assert treated.sha256 != history.read(store, run)[0].sha256


def test_trials_of_a_sweep_have_their_values_and_what_they_were_judged_by(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    swept = sweeps.swept(5)
    run_id = sweeps.write(store, swept, pictures=False)
    family, *trials = history.read(store, find_run(store, run_id))
    assert (family.family, len(trials)) == ("dcgan", 5)
    for trial, one in zip(swept.trials, trials, strict=True):
        assert one.name == f"dcgan-trial-{trial.number:03}" and one.status == trial.state
        assert one.settings["families.dcgan.lr"] == json.dumps(trial.values["lr"])
        judged = [(step, values["search/frechet_distance"]) for step, _, values in one.points]
        assert judged == [(point.step, point.value) for point in trial.curve]
        assert one.measures.get("frechet_distance") == trial.value
