"""`atelier init`: a config for a data set, which `--plan` accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.cluster import resources
from components.data.sources.prepare import add
from components.data.versioning import dvc
from components.pipeline import first_config
from components.training.rates import Rates
from tests.data.pictures import fill
from tests.flows.cli.test_app import call


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder; the measured rates are given."""

    def measured(family: str, config: Any, settings: Any, folder: Path, device: str) -> Rates:
        assert settings.precision in ("float32", "bfloat16") and (folder / "card.json").exists()
        return Rates(step=0.1, sample=0.01)

    monkeypatch.setattr(first_config, "measure", measured)
    monkeypatch.setattr(resources, "busy_cores", lambda: 0.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_config_is_planned(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home / "mine", 40)
    add("begun", home / "mine", home)
    dvc.track(home, "begun")
    code, out, err = call(capsys, "init", "begun", "--minutes", "30")
    assert (code, out) == (0, "begun.yaml\n"), err
    assert err.splitlines()[-1] == "next: atelier run begun.yaml; with --plan it only says what would run"
    text = (project / "begun.yaml").read_text()
    assert "`atelier init begun --minutes 30`" in text and "24 training images of 32 pixels" in text
    code, out, err = call(capsys, "run", "begun.yaml", "--plan", "--set", f"store.url={project}/store")
    assert code == 0 and "train diffusion" in out and "runs: there is no earlier result" in out, err
    assert "\nbegun.yaml states in minutes: 30: about " in out
    assert "other programs" not in text
    code, _, err = call(capsys, "init", "begun")
    assert code == 2 and "begun.yaml exists already: name another file with -o, or pass --replace" in err
    monkeypatch.setattr(resources, "busy_cores", lambda: 1.5)
    code, _, err = call(capsys, "init", "begun", "--replace")
    assert code == 0 and "other programs use 1.5 of " in err
    assert "of which 1.5 were busy with other programs" in (project / "begun.yaml").read_text()
    assert "minutes   20: about" in (project / "begun.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["digitz"], "there is no data set 'digitz' (did you mean 'digits'?)"),
        (["digits", "--minutes", "0"], "--minutes 0 is not possible"),
        (["digits", "--minutes", "0.1"], "is too short for digits on this machine"),
        (["digits", "-o", "x.json"], "-o x.json: a config is a .yaml file"),
    ],
)
def test_what_cannot_be_begun(
    digits: Path,
    project: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    code, out, err = call(capsys, "init", *arguments)
    assert (code, out) == (2, "") and sentence in err.splitlines()[-1]
    assert not list(project.iterdir())
