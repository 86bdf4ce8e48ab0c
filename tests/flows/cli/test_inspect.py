"""Lists of runs and families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.records.run import RunManifest, StageEntry
from components.store import Store
from tests.flows.cli.test_app import call


def test_families_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "families", "--json")
    rows = json.loads(out)
    assert code == 0 and {row["name"] for row in rows} >= {"autoencoder", "vae", "dcgan", "diffusion"}
    for row in rows:
        assert {"name", "paper", "needs", "phases"} <= set(row) and row["phases"] and "http" in row["paper"]


def test_lists_for_people(
    home: Path, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    commands = {
        ("families",): ("autoencoder", "next: atelier init NAME"),
        ("families", "--hyperparameters", "vae"): ("lr", "next: atelier sweep CONFIG"),
        ("data", "list"): ("digits", "next: atelier data prepare NAME"),
        ("data", "status"): ("digits", "next: atelier data remote URL"),
        ("data", "versions", "digits"): (".dir", "--set data.name=digits --set data.revision="),
        ("runs", "--store", str(tmp_path)): ("", "there is no run yet: atelier run"),
    }
    for command, (content, following) in commands.items():
        code, out, err = call(capsys, *command)
        assert code == 0 and content in out and following in err.splitlines()[-1], command


def test_runs_of_a_status_that_there_is_not_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "runs", "--status", "finished", "--store", str(tmp_path))
    assert code == 2 and err.count("\n") == 1 and "finished" in err and "done" in err, err


@pytest.mark.parametrize(
    ("status", "following"),
    [
        ("done", "next: atelier logs r STAGE"),
        ("running", "next: atelier logs r --follow"),
        ("failed", "next: atelier run x.yaml continues it"),
    ],
)
def test_a_look_at_a_run_ends_with_what_suits_its_state(
    status: str, following: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunManifest(run_id="r", status=status, command="atelier run x.yaml")
    Store(tmp_path).write_json("runs/r/run.json", run.to_json())
    for command in ("explain", "logs"):
        expected = following.replace("logs r STAGE", "explain r") if command == "logs" else following
        assert expected in call(capsys, command, "--store", str(tmp_path))[2]  # the latest, if none is named


@pytest.mark.parametrize("text", ["", "{", "3", "[" * 100_000, "1" * 5000, '{"run_id": "1", "stages": 3}'])
def test_a_foreign_record_does_not_break_the_explanation_of_another_run(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    store.write_text("runs/1/run.json", text)
    stage = StageEntry(name="train", family="vae", uri="../x", state="ran")
    for run_id, uri in (("2", "../x"), ("3", "store/train/k")):
        stages = [stage.model_copy(update={"uri": uri})]
        store.write_json(f"runs/{run_id}/run.json", RunManifest(run_id=run_id, stages=stages).to_json())
    code, out, _ = call(capsys, "explain", "latest", "--store", str(tmp_path))
    assert code == 0 and "never done before" in out
    store.write_text("runs/notes/todo.txt", "")
    code, out, _ = call(capsys, "runs", "--store", str(tmp_path))
    lines = [line.split()[:2] for line in out.splitlines()[1:]]
    assert code == 0 and [line[0] for line in lines] == ["3", "2", "1"]
    assert lines[2][1] == ("running" if "stages" in text else "unreadable")


def test_votes_of_pages_become_win_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(tmp_path / "output"))
    store.write_json("runs/r/run.json", RunManifest(run_id="r").to_json())
    sides = {"left": {"run": "r", "family": "vae"}, "right": {"run": "r", "family": "dcgan"}}
    votes = [sides | {"choice": choice, "when": str(i)} for i, choice in enumerate(["right", "right", "tie"])]
    path = tmp_path / "review.json"
    path.write_text(json.dumps({"kind": "atelier review", "votes": votes}))
    command = ("report", "votes", str(path), "--store", store.url)
    for _ in range(2):  # the same file again changes nothing
        code, out, err = call(capsys, *command)
        assert "next: atelier report serve" in err.splitlines()[-1]
        assert code == 0 and "r/dcgan" in out and "83\u00a0%" in out and len(out.splitlines()) == 2
    assert len(store.list("runs/r/reviews")) == 1 and store.exists("runs/r/report/index.html")
    code, _, err = call(capsys, "report", "votes", "--store", store.url)
    assert code == 2 and "name the files" in err
