"""A secret in every form, in the error and the settings of a run: what the run leaves does not have it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.cluster import ray_cluster
from components.common.errors import Diverged, RunError
from components.records.trial import ScheduleEntry
from components.stages.spec import Spec
from components.store import Store
from components.training import ray_train
from components.training.request import TrainRequest
from components.tuning import trial
from flows import run, setup, start
from flows.cli.app import main
from tests import tiny
from tests.flows.canary import CANARY, FOLDER, FORMS, places_with
from tests.flows.test_setup import QUICKSTART


@pytest.mark.timeout(180)
def test_a_failed_run_leaves_the_secret_nowhere(
    digits: Path,
    prefect_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = RunError("; ".join([*FORMS, FOLDER]))
    monkeypatch.setenv("CANARY_TOKEN", CANARY)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(run.cache, "run", fail)
    changes = [f"store.url={tmp_path}", f"publish.url={FOLDER}", f"evaluate.inception_path={FOLDER}"]
    experiment = setup.experiment(QUICKSTART, changes)
    with pytest.raises(RunError) as caught:
        start.start(experiment, command="atelier run")
    assert caught.value is error, "the terminal gets the whole sentence"
    assert (tmp_path / "index.html").exists()
    prefect = Path(os.environ["PREFECT_HOME"])
    assert list(prefect.glob("*.db"))
    assert places_with("host/x", prefect) and not places_with(CANARY, tmp_path, prefect)
    assert CANARY not in "".join(capsys.readouterr()).replace(f"{CANARY}-folder", "")


@pytest.mark.parametrize("error", [RunError, OSError, ZeroDivisionError])
def test_the_terminal_does_not_show_it(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", CANARY)

    def fail(*_: Any) -> int:
        raise error("; ".join(FORMS))

    monkeypatch.setattr("flows.cli.app.call", fail)
    with pytest.raises(SystemExit) as ended:
        main(["runs"])
    output = "".join(capsys.readouterr())
    assert ended.value.code == 1 and "host/x" in output and CANARY not in output


@pytest.mark.pipeline
@pytest.mark.usefixtures("ray_cluster")
def test_ray_does_not_log_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray  # reads the cluster's token

    raised = "; ".join([*FORMS[:-1], FOLDER])  # the cluster has another environment
    with pytest.raises(RunError) as caught:
        ray_cluster.call("builtins:exec", f"raise ZeroDivisionError({raised!r})")
    assert "host/x" in str(caught.value) and CANARY not in str(caught.value)
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    assert list(session.glob("logs/worker-*")) and not places_with(CANARY, session / "logs")


def test_no_note_of_a_worker_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", CANARY)

    def fail(*_: Any, **__: Any) -> None:
        raise Diverged("; ".join([*FORMS, FOLDER]))

    monkeypatch.setattr(ray_train.training_job, "fit", fail)
    monkeypatch.setattr(trial.cache, "run", fail)
    monkeypatch.setattr("ray.train.get_context", Mock(return_value=Mock(get_world_rank=lambda: 0)))
    monkeypatch.setattr("ray.train.torch.get_device", lambda: "cpu")
    monkeypatch.setattr(ray_train, "in_main_thread", Mock())
    train = tiny.settings().model_dump(mode="json")
    job = TrainRequest("vae", tiny.CONFIGS["vae"], train, "data", "attempt", Store(tmp_path))
    ray_train._worker(asdict(job))
    context = trial.TrialContext("r", Spec("trial", {}, {}, family="vae"), job)
    with pytest.raises(Diverged) as caught:
        trial.trained(context, [ScheduleEntry(values={})], lambda report: None)
    assert CANARY not in trial.reason(caught.value)
    assert len(places_with("host/x", tmp_path)) == 2 and not places_with(CANARY, tmp_path)
