"""A run that begins with the model of an earlier one, as a user starts it."""

from __future__ import annotations

import json
import re

import pytest

from tests.flows.driver import TINY, WEIGHTS, Atelier, states

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]


def test_a_run_begins_with_the_model_of_another(fresh: Atelier) -> None:
    first = fresh.run("--only", "vae", *WEIGHTS)
    arguments = ("--only", "vae", *WEIGHTS, "--set", "families.vae.train.initial=latest/vae")
    done = fresh.call("run", str(TINY), *fresh.settings(arguments))
    taken = f"layers taken from {first['run_id']}/vae"
    terminal = " ".join(done.stdout.split() + done.stderr.split())
    assert re.search(rf"train vae: (\d+) of \1 {taken}", terminal), terminal
    run_id = max(path.parent.name for path in fresh.store.glob("runs/*/run.json"))
    record = json.loads((fresh.store / "runs" / run_id / "run.json").read_text())
    initial = record["lineage"]["config"]["families"]["vae"]["train"]["initial"]
    assert initial["model"] == f"{first['run_id']}/vae" and len(initial["sha256"]) == 64
    assert set(record["results"][0]["train"]["initial"]["layers"].values()) == {"taken"}
    assert taken in (fresh.store / "runs" / run_id / "report" / "index.html").read_text()
    (folder,) = (stage["uri"] for stage in record["stages"] if stage["name"] == "export")
    assert taken in (fresh.store / folder / "attempts/1/README.md").read_text()

    again = fresh.run("--only", "vae", *WEIGHTS, "--set", f"families.vae.train.initial={initial['model']}")
    assert states(again)["train vae"] == "cached"  # it begins with the same model, whatever it is called
    refused = fresh.call(
        "run", str(TINY), *fresh.settings(("--set", f"train.initial={initial['model']}")), code=2
    )
    assert refused.stderr.splitlines()[-1].startswith("atelier: train.initial: no layer of ")
