"""The command line.

One clear sentence and the right exit code, and --json with nothing else on standard output.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from cyclopts import App

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
        (["sample", "latest", "vae", "-o", "x.jpg"], ["has no run yet", "`atelier run` begins the first"]),
        (["sample", "latest", "-o", "x.png", "--prior", "none"], ['"none" for --prior', "mixture"]),
        (["sample", "latest", "-o", "x.png", "-n", "many"], ['"many" into int']),
        (["sample", "latest"], ["--output"]),
        (["sample", "latest", "vae", "more", "-o", "x.png"], ["more"]),
        (["data", "prepare", "imagenet"], ["imagenet", "mnist5k"]),
        (["data", "prepare", "../x"], ["../x"]),
        (["data", "add", "Bad Name", "."], ["Bad Name"]),
        (["data", "add", "of-nobody", "/nowhere/at/all"], ["/nowhere/at/all"]),
        (["data", "versions", "nothing"], ["nothing"]),
        (["data", "pull", "nothing"], ["nothing"]),
        (["runs", "--store", "s3://"], ["s3://"]),
        ([], ["name a command", "atelier --help"]),
        (["data"], ["name a command", "atelier data --help"]),
        (["nonsense"], ["nonsense", "atelier --help"]),
        (["extractor", "statsu", "digits"], ["statsu", "status"]),
        (["run", "--workers"], ["--workers"]),
        (["run", "--store", "s3://bucket"], ["--store", "--set store.url=URL"]),
        (["backfill", "a..b", "--store=results"], ["--store", "--set store.url=URL"]),
        (["verify", "x", "--store", "y"], ["unknown option: --store"]),
        (["publish", "latest", "--store", "/proc/nowhere/at/all"], ["/proc/nowhere/at/all"]),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == ""
    assert "Traceback" not in err
    (sentence,) = err.splitlines()
    assert sentence.startswith("atelier: ")
    for word in words:
        assert word in sentence


def test_an_interrupted_command_ends_as_such_whatever_libraries_make_of_it(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> int:
        raise TypeError("a validator could not be built")

    monkeypatch.setattr(app, "call", broken)
    code, _, err = call(capsys, "runs")
    assert code == 1 and "a validator could not be built" in err
    monkeypatch.setattr(app, "interrupted", Mock(is_set=lambda: True))
    again = {"run": "to continue", "sample": "to begin again; nothing is half-written"}
    for command, words in again.items():
        code, _, err = call(capsys, command)
        assert code == 130 and err == f"atelier: interrupted; run the same command again {words}\n"


def test_a_process_ends_after_what_libraries_do_at_its_end_and_before_modules_are_destroyed() -> None:
    code = """
        import atexit, flows.cli.app
        class Module:
            def __del__(self): print("destroyed")
        kept = Module()
        def work():
            atexit.register(print, "cleaned up")
            return 3
        flows.cli.app.exit_with(work, at_once=AT_ONCE)
    """
    for at_once, printed in ((True, "cleaned up\n"), (False, "cleaned up\ndestroyed\n")):
        script = textwrap.dedent(code).replace("AT_ONCE", str(at_once))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (3, printed)


def test_help_lists_commands_in_groups(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0 and "Evaluate any folder of images against a data set." in out
    for group, commands in app.COMMANDS.items():
        assert f"─ {group} ─" in out
        for command in commands:
            assert re.search(rf"│ {command} +\w", out), "with a summary"


def described(of: App) -> list[tuple[str, str | None]]:
    """The options of a command and its subcommands, with their descriptions."""
    if of.default_command is None:
        return [option for name in of if not name.startswith("-") for option in described(of[name])]
    return [
        (option.name, option.parameter.help)
        for option in of.assemble_argument_collection(parse_docstring=True)
        if option.show
    ]


@pytest.mark.parametrize("command", [name for commands in app.COMMANDS.values() for name in commands])
def test_each_option_is_described(capsys: pytest.CaptureFixture[str], home: Path, command: str) -> None:
    options = described(app.app[command])
    assert options and all(text for _, text in options), options
    code, out, _ = call(capsys, command, "--help")
    assert code == 0 and f"Usage: atelier {command}" in out


def test_options_may_be_repeated(capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> None:
    changes = ["--set", "data.name=digits", "--set", "train.steps=-1"]
    assert "train.steps" in call(capsys, "run", "--plan", *changes)[2]
    stores = ["--store", str(tmp_path / "a"), "--store", str(tmp_path / "b")]  # the last one counts
    assert call(capsys, "runs", "--json", "--json", *stores)[:2] == (0, "[]\n")


HEAVY = {"torch", "numpy", "prefect", "ray", "pydantic", "dvc"}
LOADED = f"""
import sys
from flows.cli import main
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["--help"], []), (["runs", "--store", "nothing"], ["pydantic"]), (["run", "--bogus"], [])],
)
def test_quick_commands_load_nothing_heavy(home: Path, arguments: list[str], loaded: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(loaded), done.stderr


def test_completion_can_be_installed(
    capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, _ = call(capsys, "--install-completion", "--shell", "bash")
    (script,) = tmp_path.glob(".local/share/bash-completion/completions/atelier")
    assert code == 0 and "--assume-independent" in script.read_text()


def test_nothing_of_a_secret_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "runs", "--store", "ftp://user:hunter2@127.0.0.1:1/x")
    assert code in (1, 2) and "hunter2" not in out + err
