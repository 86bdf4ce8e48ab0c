"""What a Ray job does with the request that it is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.common.errors import InputError
from components.records.run import RunManifest
from components.store import Store
from flows import job_entry, setup, start
from flows.launcher import Launch
from flows.ray_job import request_folder
from tests.conftest import ROOT
from tests.flows.test_setup import QUICKSTART


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The folder and the environment of a job; its store, which lists it."""
    store = Store(tmp_path / "store")
    store.write_json("launches/k/1.json", {})
    changes = ["device=cpu", f"store.url={store.url}", "cluster=http://head:8265"]
    asked = Launch(setup.experiment(QUICKSTART, changes), force=["train"], command="atelier run")
    with request_folder(asked, "v.dir", store) as (folder, _):
        (tmp_path / "launch.json").write_bytes((folder / "launch.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_LAUNCH", json.dumps({"key": "k", "number": 1, "run_id": "r"}))
    monkeypatch.setattr(start, "start", Mock(return_value=RunManifest(run_id="r", status="done")))
    return store


def test_a_job_runs_what_was_asked_for(sent: Store) -> None:
    started: Any = start.start
    assert job_entry.run() == 0
    assert started.call_args.args[0].store.url == sent.url
    expected = {
        "force": ["train"],
        "version": "v.dir",
        "command": "atelier run",
        "run_id": "r",
        "resume": None,
    }
    assert expected.items() <= started.call_args.kwargs.items()
    sent.write_json("runs/r/run.json", RunManifest(run_id="r").to_json())
    started.return_value = RunManifest(run_id="r", status="partial")
    assert job_entry.run() == 1 and started.call_args.kwargs["resume"] == "r", "an earlier job had begun it"


def test_other_versions_and_another_store_are_refused(sent: Store, tmp_path: Path) -> None:
    request = json.loads((tmp_path / "launch.json").read_text())
    old = request | {"versions": request["versions"] | {"Python": "3.9.1"}}
    (tmp_path / "launch.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"http://head:8265: the cluster has Python 3.\d+.\d+, and .* 3.9.1"):
        job_entry.run()
    (tmp_path / "launch.json").write_text(json.dumps(request))
    sent.delete("launches/k/1.json")
    with pytest.raises(InputError, match="is another store for the cluster than"):
        job_entry.run()


def test_a_python_of_the_cluster_without_the_packages_is_named() -> None:
    command = [sys.executable, "-S", "-m", "flows.job_entry"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"atelier: {sys.executable} on the cluster has no "), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_settings_of_prefect_are_made_before_it_is_imported() -> None:
    code = "import sys, flows.job_entry; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
