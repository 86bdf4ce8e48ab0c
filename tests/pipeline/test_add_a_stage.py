"""The example of docs/add-a-stage.md: one file and one line make a stage that a run plans and does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's code, with the stage of the documentation added as it says."""
    text = (ROOT / "docs" / "add-a-stage.md").read_text()
    module, line = re.findall(r"```(?:python|text)\n(.*?)```", text, re.DOTALL)
    for package in ("models", "components", "flows"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "components" / "pipeline" / "model_size.py").write_text(module)
    graph = tmp_path / "components" / "pipeline" / "graph.py"
    text = graph.read_text().replace("    export.STAGE,\n", f"    export.STAGE,\n{line}")
    graph.write_text(text.replace("    latents,\n", "    latents,\n    model_size,\n", 1))
    return tmp_path


SCRIPT = """
import json, sys
from components.cluster import resources
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.families.resolve import resolved
from components.pipeline import export, model_size
from components.pipeline.graph import STAGES, inputs, planned
from components.pipeline.plan import Plan
from components.stages import cache
from components.store import Store
from flows.start import check_stages
from flows.tasks import TASKS
from flows.views import unplanned

card = DatasetCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
    labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
)
store = Store(sys.argv[1])
plan = Plan(resolved(Experiment(families={"vae": {}}), "cpu", "float32"), "0123.dir", card)
stages = planned(plan)
body = lambda attempt, _: attempt.write_bytes("w", b"12345") or {}
exported = cache.run(store, export.spec(plan, "vae"), body, run_id="r")
stage, spec = stages["model_size/vae"]
done = stage.result(store, plan, spec, {"export/vae": exported}, "r")
again = stage.result(store, plan, spec, {"export/vae": exported}, "r")
check_stages(["model_size"])
size = sum(store.child(exported.uri).size(name) for name in store.child(exported.uri).find())
print(json.dumps({
    "planned": list(stages), "inputs": inputs(plan, stage, spec), "task": "model_size" in TASKS,
    "without_data": unplanned(Experiment(families={"vae": {}})),
    "bytes": cache.read(store, done)["bytes"], "size": size, "states": [done.state, again.state],
}))
"""


def test_the_example_is_planned_and_done(copy: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "store")]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    names = result["planned"]
    assert names.index("export/vae") < names.index("model_size/vae") < names.index("compare")
    assert result["without_data"] == [
        *("prepare", "extractor", "reference", "train vae", "evaluate vae", "export vae", "model_size vae"),
        *("compare", "gate", "report", "publish"),
    ]
    assert result["inputs"] == ["export/vae"] and result["task"]
    assert result["bytes"] == result["size"] > 5 and result["states"] == ["ran", "cached"]
