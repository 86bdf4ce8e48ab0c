"""The command line.

One clear sentence and the right exit code, and --json with nothing else on standard output.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli import app


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as ended:
        app.main(arguments)
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.yaml"], ["nowhere.yaml"]),
        (["run", "--set", "families.vae.lrr=1"], ["families.vae.lrr", "lr"]),
        (["run", "--only", "biggan"], ["biggan", "diffusion"]),
        (["run", "--force", "trian", "--plan"], ["trian", "train"]),
        (["explain", "20200101-000000-0000"], ["20200101-000000-0000"]),
        (["sample", "last", "vae", "-o", "x.jpg"], ["last"]),
        (["data", "prepare", "imagenet"], ["imagenet", "mnist5k"]),
        (["data", "prepare", "../x"], ["../x"]),
        (["data", "add", "Bad Name", "."], ["Bad Name"]),
        (["data", "add", "mine", "/nowhere/at/all"], ["/nowhere/at/all"]),
        (["data", "versions", "nothing"], ["nothing"]),
        (["data", "pull", "nothing"], ["nothing"]),
        (["runs", "--store", "s3://"], ["s3://"]),
        (["nonsense"], ["nonsense"]),
        (["run", "--workers"], ["--workers"]),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == ""
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    for word in words:
        assert word in last


def test_families_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "families", "--json")
    rows = json.loads(out)
    assert code == 0 and {row["name"] for row in rows} >= {"autoencoder", "vae", "dcgan", "diffusion"}
    for row in rows:
        assert {"name", "paper", "needs", "phases"} <= set(row) and row["phases"] and "http" in row["paper"]


def test_lists_for_people(
    home: Path, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "autoencoder" in call(capsys, "families")[1]
    assert "digits" in call(capsys, "data", "list")[1]
    assert "digits" in call(capsys, "data", "status")[1]
    assert call(capsys, "data", "versions", "digits")[0] == 0
    assert call(capsys, "runs", "--store", str(tmp_path))[0] == 0


def test_a_plan_touches_nothing(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = sorted(home.rglob("*"))
    code, out, _ = call(capsys, "run", "--plan", "--json", "--set", f"store.url={tmp_path / 'store'}")
    rows = json.loads(out)
    assert code == 0 and all(row["because"].startswith("runs") for row in rows)
    assert {row["stage"] for row in rows} >= {"prepare", "train vae", "publish"}
    assert sorted(home.rglob("*")) == before and not (tmp_path / "store").exists()


def test_a_plan_knows_the_classes(
    home: Path, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    changes = ["data.name=digits", "evaluate.held_out=[3, eleven]", f"store.url={tmp_path / 'store'}"]
    code, out, err = call(capsys, "run", "--plan", *(word for c in changes for word in ("--set", c)))
    assert code == 2 and out == "" and "data set digits has no class 'eleven'" in err
    assert call(capsys, "run", "--plan", "--set", changes[0], "--set", "evaluate.held_out=[3]")[0] == 0


def test_nothing_of_a_secret_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "runs", "--store", "ftp://user:hunter2@127.0.0.1:1/x")
    assert code in (1, 2) and "hunter2" not in out + err
