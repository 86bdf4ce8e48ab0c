"""`atelier data`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.data.card import DatasetCard
from flows.cli import data
from tests.data.pictures import fill
from tests.flows.cli.test_app import call


def test_versions_and_status_are_lists(home: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "data", "versions", "digits", "--json")
    assert code == 0 and [row["version"].endswith(".dir") for row in json.loads(out)] == [True]
    sets: list[dict[str, Any]] = json.loads(call(capsys, "data", "status", "--json")[1])
    assert "digits" in [value for row in sets for value in row.values()]
    (row,) = [row for row in json.loads(call(capsys, "data", "list", "--json")[1]) if row["name"] == "digits"]
    assert row["prepared"] and sum(row["counts"].values()) == sum(DatasetCard.read(digits).counts.values())


def test_what_was_prepared_and_what_was_left_out_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    card = SimpleNamespace(
        name="x",
        counts={"train": 1200, "test": 8},
        labels=None,
        sources=None,
        channels=3,
        resolution=32,
        skipped={"broken": 2},
        skipped_files=[("a.png", "broken")],
        left_out={"hidden": 3},
        notes=[
            "read inside b/",
        ],
        options={"ignored_files": 4, "ignored_names": ["README.txt", "b/c.md", "x.zip"]},
        captions=False,
        unmatched_captions=5,
    )
    data.show_prepared(card, "0123456789abcdef.dir")
    out, err = capsys.readouterr()
    assert out == "x: 1,200 train, 8 test; 3x32x32, unlabelled; version 0123456789\n"
    assert err.splitlines() == [
        "  read inside b/",
        "  skipped 2: broken (such as a.png)",
        "  left out 3: hidden",
        "  left out 4 files that are not images (such as README.txt, b/c.md, x.zip)",
        "  5 captions of images that are not there",
    ]


def test_pairs_and_degraded_sets_are_prepared_versioned_and_listed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, first in (("images", 0), ("sources", 50)):
        fill(home / folder, 24, first=first)
    for path in (home / "sources").iterdir():
        path.rename(path.with_name(f"{int(path.stem) - 50:03d}.png"))
    both = (str(home / "images"), "--sources", str(home / "sources"))
    code, out, _ = call(capsys, "data", "add", "mine", *both, "--source-resolution", "8")
    assert code == 0 and "3x32x32 from 3x8x8, unlabelled; version " in out
    code, out, _ = call(capsys, "data", "add", "domains", *both, "--unpaired")
    assert code == 0 and "  unpaired sources: 8 train, 8 validation, 8 test\n" in out
    code, out, _ = call(capsys, "data", "degrade", "lines", "mine", "edges", "--high", "90")
    assert code == 0 and "3x32x32 from 1x32x32" in out
    code, _, err = call(capsys, "data", "degrade", "x3", "mine", "downscale", "--scale", "3")
    assert code == 2 and err == "atelier: scale 3 is not supported: choose 2 or 4\n"
    sets = {row["name"]: row for row in json.loads(call(capsys, "data", "status", "--json")[1])}
    assert {"mine", "domains", "lines"} <= {name for name, row in sets.items() if row["pinned"]}
    assert "3x32x32 from 1x32x32" in call(capsys, "data", "list")[1]
    sheet = home / "sheet.png"
    code, out, _ = call(capsys, "data", "show", "lines", "-o", str(sheet), "-n", "4")
    assert code == 0 and sheet.is_file() and f"{sheet}: 4 images of lines, train, version" in out
    assert call(capsys, "data", "show", "lines", "-o", "sheet.gif")[0] == 2
    assert call(capsys, "data", "show", "none", "-o", str(sheet))[0] == 2


def test_adding_ends_with_what_to_do_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home / "some", 24)
    (home / "some/notes.txt").write_text("x")
    code, out, err = call(capsys, "data", "add", "kept", str(home / "some"), "--white", "65535")
    assert code == 0 and out.startswith("kept: 8 train, 8 validation, 8 test; 3x32x32, unlabelled; version ")
    sheet = home / ".atelier/sheets/kept.png"
    assert err.splitlines()[-3:] == [
        "  left out 1 file that is not an image (notes.txt)",
        f"contact sheet of 8 training images: {sheet}",
        "next: atelier init kept writes a config for it; then atelier run kept.yaml",
    ]
    assert sheet.read_bytes().startswith(b"\x89PNG")
    version = out.split()[-1]
    rights = ("--licence", "CC0", "--credit", "Ada")
    code, out, err = call(capsys, "data", "add", "kept", str(home / "some"), "--resolution", "16", *rights)
    assert f"  replaces version {version}, which `atelier data versions kept` still lists" in err
    card = DatasetCard.read(home / "data/kept")
    assert (code, card.licence, card.credit, card.resolution) == (0, "CC0", "Ada", 16)
    assert (
        "replaces"
        not in call(capsys, "data", "add", "kept", str(home / "some"), "--resolution", "16", *rights)[2]
    )
    code, _, err = call(capsys, "data", "add", "kept", str(home / "some"), "--white", "bright")
    assert (
        code == 2 and err == "atelier: --white bright is not possible; accepted: auto, or a number above 0\n"
    )
