"""The plan of a run at full scale, on a machine that has none of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.common.errors import InputError
from flows import scale, setup
from tests.flows.cli.test_app import call
from tests.flows.test_setup import QUICKSTART

CHANGES = [
    "data.name=digits",
    "device=cuda",
    "families={dcgan: {}}",
    "train.workers=128",
    "train.micro_batches=256",
    "train.batch=4096",
    "train.steps=1000",
    "train.precision=bfloat16",
]


@pytest.fixture
def experiment(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", "a cluster with GPUs")
    return setup.experiment(QUICKSTART, [*CHANGES, f"store.url={tmp_path}"])


def test_the_arithmetic_and_cost_of_128_gpus(experiment) -> None:
    (row,) = scale.scale_rows(experiment, tflops=50.0, price=2.0)
    assert row["workers"] == 128 and row["batch"] == "128 x 2 x 16"
    assert row["worker_hours"] == pytest.approx(128 * row["hours"], rel=0.5)
    assert row["cost"] == pytest.approx(2 * row["worker_hours"], abs=0.02)
    assert row["memory_gb"] >= row["state_gb"] > 0
    (twice,) = scale.scale_rows(experiment, tflops=25.0, price=None)
    assert twice["hours"] >= row["hours"] and twice["cost"] is None


@pytest.mark.parametrize(("tflops", "price"), [(0.0, None), (float("nan"), None), (1.0, -1.0)])
def test_numbers_that_are_none_are_refused(experiment, tflops: float, price: float | None) -> None:
    with pytest.raises(InputError, match="give a number"):
        scale.scale_rows(experiment, tflops, price)


def test_the_command_line(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["data.name=digits", "families={dcgan: {}, inpainting: {}}", f"store.url={tmp_path}"]
    words = [word for change in changes for word in ("--set", change)]
    code, out, _ = call(capsys, "run", "--plan", "--scale", *words)
    assert (
        code == 0 and out.startswith("family") and "dcgan" in out and "inpainting: cannot be estimated" in out
    )
    code, out, _ = call(capsys, "run", "--plan", "--scale", "--json", "--price", "3", *words)
    assert [row["family"] for row in json.loads(out)] == ["dcgan", "inpainting"]
    code, _, err = call(capsys, "run", "--scale", *words)
    assert code == 2 and "--scale needs --plan" in err
    code, _, err = call(capsys, "run", "--plan", "--scale", "--set", "data.name=emoji256-x4")
    assert code == 2 and "atelier data prepare emoji256-x4" in err
