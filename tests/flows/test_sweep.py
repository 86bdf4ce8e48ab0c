"""A sweep as a user runs it: the command line, Prefect, Ray Tune and Ray Train together, on a tiny family."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any
from unittest import mock

import pytest

from components.store import Store
from flows.schedule import scheduled
from tests.flows.driver import Atelier, Sweeps, until

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]

POPULATION = 1  # a seed with which a trial wins that went on from another


def outcome(swept: dict[str, Any]) -> list[Any]:
    """What of a sweep does not depend on the clock."""
    trials = [
        (t["number"], t["values"], t["state"], [s["value"] for s in t["curve"]]) for t in swept["trials"]
    ]
    return [trials, [one["mean"] for one in swept["finalists"]], swept["winner"]["number"]]


def test_a_killed_sweep_goes_on_to_what_it_would_have_been(sweeps: Sweeps, undisturbed: Atelier) -> None:
    """And a finished trial is never run again; what is published is the winner at full budget."""
    command = sweeps.command("sweep", str(sweeps.config()))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: sweeps.files() or process.poll() is not None, seconds=600)
    assert process.poll() is None
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
    assert swept["confirmation"]["seeds"] == [1000] and len(swept["confirmation"]["winner"]) == 1
    states = {f"{s['name']} {s['family'] or ''}".strip(): s["state"] for s in result["stages"]}
    assert {"sweep dcgan", "confirmation dcgan", "train dcgan", "evaluate dcgan", "publish"} <= set(states)
    assert states["train dcgan"] == "cached"  # the confirmation had trained it
    page = (sweeps.store / result["report"]).read_text()
    assert f"Trial {swept['winner']['number']} won: lowest mean of 2 seeds." in page

    other = Sweeps(undisturbed.store)
    one_by_one = other.sweep(confirmation_seeds=0, max_concurrent_trials=1)["sweep"]
    assert one_by_one["settings"]["concurrent"] == 1 and outcome(one_by_one) == outcome(swept)

    latest = ("sweep", "--resume-run", "latest", "--store", str(sweeps.store), "--json")
    again = json.loads(sweeps.call(*latest).stdout)
    assert {s["state"] for s in again["stages"]} == {"cached"}, "there is nothing to do"
    runs = Store(str(sweeps.store)).list("runs")
    with mock.patch.dict(os.environ):
        assert scheduled.fn(str(sweeps.config())).name == "Unchanged"
    assert Store(str(sweeps.store)).list("runs") == runs, "nothing is new, so a date makes no run"


def test_a_population_is_replayed_as_a_schedule(sweeps: Sweeps) -> None:
    changes: dict[str, Any] = {"search": {"lr": None, "beta1": None}, "finalists": 1, "confirmation_seeds": 0}
    result = sweeps.sweep(scheduler="pbt", seed=POPULATION, **changes)
    swept = result["sweep"]
    exploits = [d for d in swept["decisions"] if d["did"] == "exploited"]
    assert exploits and all("continues from trial" in d["why"] for d in exploits)
    schedules = [t["schedule"] for t in swept["trials"] if t["schedule"]]
    assert schedules and all(entry["step"] in (0, 2, 4, 6) for s in schedules for entry in s)
    numbers = {t["number"] for t in swept["trials"]}
    taken = {entry["donor"] for s in schedules for entry in s if entry["donor"] is not None}
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
    assert trained["train"]["setting_changes"] == stretched, "twice the steps of a trial"


def test_settings_of_sampling_are_searched_on_one_trained_model(sweeps: Sweeps) -> None:
    families = "families={diffusion: {width: 16, sampler_steps: 2}}"
    search = {"sampler_steps": [1, 2, 3], "guidance_scale": [1.0, 2.0]}
    changes: dict[str, Any] = {
        "search": search,
        "finalists": 1,
        "seeds_per_finalist": 1,
    }
    result = sweeps.sweep("--set", families, "--set", "train.steps=8", **changes)
    sweep = result["sweep"]
    assert sweep["kind"] == "sampling" and sweep["settings"]["rungs"] == [], "there is one judgement"
    assert {t["state"] for t in sweep["trials"]} == {"done"} and len(sweep["trials"]) == 4
    own = {"sampler_steps": 2, "guidance_scale": 1.5}
    assert own in [one["values"] for one in sweep["finalists"]], "what the winner is to beat"
    assert (
        set(sweep["winner"]["values"]) == set(search)
        and sweep["confirmation"]["seconds_per_image"]["winner"] > 0
    )
    trained = [s for s in result["stages"] if s["name"] == "train"]
    assert [s["family"] for s in trained] == ["diffusion"], "once"
    page = (sweeps.store / result["report"]).read_text()
    assert "Both sample from the same model" in page and "trained at full budget" not in page
