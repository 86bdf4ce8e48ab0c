"""Commands in environments that people have: proxies, odd folders, narrow terminals, locales, umasks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.cluster import temporary
from components.common.errors import NOT_ALLOWED
from components.diagnostics import checks
from components.diagnostics.checks import Check
from flows.cli import app
from flows.environment import environment
from tests.flows.cli.test_app import call

FOLDERS = st.sampled_from(
    ["", "/missing/folder", "/proc", "/tmp", "/tmp/" + "long" * 30, "/dev/null", "näme ☃"]
)
PROXIES = st.sampled_from(
    ["", "http://127.0.0.1:9", "socks5://127.0.0.1:9", "proxy.example:3128", "nonsense"]
)
VARIABLES = {
    "http_proxy": PROXIES,
    "HTTPS_PROXY": PROXIES,
    "ALL_PROXY": PROXIES,
    "no_proxy": st.sampled_from(["", "*", "localhost", " , "]),
    "TMPDIR": FOLDERS,
    "HOME": FOLDERS,
    "PREFECT_HOME": FOLDERS,
    "COLUMNS": st.sampled_from(["", "0", "1", "20", "500", "wide"]),
    "NO_COLOR": st.sampled_from(["", "1"]),
    "LANG": st.sampled_from(["", "C", "de_DE.UTF-8", "nonsense"]),
}
ENVIRONMENTS = st.fixed_dictionaries({}, optional=VARIABLES)


@pytest.fixture
def without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor without the trials that start servers or import PyTorch."""
    monkeypatch.setattr(checks, "_prefect", lambda _: Check("Prefect server", True, "not tried"))
    monkeypatch.setattr(checks, "_ray", lambda: [])
    monkeypatch.setattr(checks, "_torch", lambda: [])


@contextmanager
def changed(variables: dict[str, str], mask: int = 0o022) -> Iterator[None]:
    """Change the environment and the umask of this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*VARIABLES, "NO_PROXY", *environment()):
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        before = os.umask(mask)
        try:
            yield
        finally:
            os.umask(before)


@pytest.mark.parametrize(("command", "examples"), [("--help", 25), ("families", 2), ("doctor", 25)])
def test_a_command_works_in_every_environment(
    capsys: pytest.CaptureFixture[str], home: Path, without_servers: None, command: str, examples: int
) -> None:
    call(capsys, command)  # the first `families` keeps its list in a file
    before = sorted(home.rglob("*"))

    @given(variables=ENVIRONMENTS, mask=st.sampled_from([0o000, 0o022, 0o077, 0o777]))
    @settings(max_examples=examples)
    def works(variables: dict[str, str], mask: int) -> None:
        with changed(variables, mask):
            code, out, err = call(capsys, command)
        assert code in ((0, 1) if command == "doctor" else (0,)), err
        assert out and "Traceback" not in out + err
        assert all(line.startswith("next: ") for line in err.splitlines())

    works()
    assert sorted(home.rglob("*")) == before, "nothing is left behind"


@given(variables=ENVIRONMENTS)
@settings(max_examples=50)
def test_ray_has_a_folder_in_every_environment(variables: dict[str, str]) -> None:
    with changed(variables):
        made = temporary.short_folder()
        folder = made or Path(os.environ.get("TMPDIR") or "/tmp") / "ray"
        assert len(os.fsencode(f"{folder}{temporary.BELOW}")) <= temporary.SOCKET
        assert os.access(folder if made else folder.parent, os.W_OK)
        if made:
            made.rmdir()


def test_a_terminal_that_knows_few_characters_gets_others_in_their_place(home: Path) -> None:
    variables = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PREFECT_HOME": "/dev/null/x"}
    command = [sys.executable, "-m", "flows.cli", "--help"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0 and "Evaluation" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("damage", ["variable", "profiles"])
def test_settings_that_prefect_cannot_read_are_one_sentence(home: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "profiles.toml").write_text("[profiles.x" if damage == "profiles" else "")
    level = "bogus" if damage == "variable" else "CRITICAL"
    variables = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_LOGGING_LEVEL": level}
    command = [sys.executable, "-m", "flows.cli", "run", "--plan"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]  # Prefect itself may write before it
    assert last.startswith("atelier: Prefect cannot read its settings (") and last.endswith("profiles.toml")


@pytest.mark.parametrize("number", NOT_ALLOWED)
def test_what_may_not_be_written_is_invalid_input_that_is_named(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number), "/project/.atelier")

    monkeypatch.setattr(app, "call", refuse)
    code, out, err = call(capsys, "run")
    assert code == 2 and not out and len(err.splitlines()) == 1
    assert "/project/.atelier: " in err and "ATELIER_HOME" in err


def test_data_cannot_be_prepared_in_a_project_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_HOME", "/sys")
    monkeypatch.setenv("PREFECT_HOME", "/sys/prefect")
    for command in (["--help"], ["families"], ["runs"], ["data", "list"]):
        assert call(capsys, *command)[0] == 0
    code, _, err = call(capsys, "data", "prepare", "digits")
    assert code == 2 and "/sys" in err and len(err.splitlines()) == 1
