"""A file of each sample: complete, resumed, never mixed with others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.sampling import generate, to_files
from components.sampling.request import SampleOptions
from components.sampling.sheets import ungrid
from components.sampling.to_file import sample_to_file
from components.sampling.to_files import sample_to_files
from flows.cli import app
from tests.sampling.test_from_images import SIDE, model

N = 70  # more than a chunk


def arrays(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]


def test_files_are_the_samples_of_a_sheet_in_order(tmp_path: Path) -> None:
    folder, out = model(tmp_path, "dcgan"), tmp_path / "out"
    seen: list[tuple[int, int]] = []
    notes = sample_to_files(folder, out, n=N, seed=3, progress=lambda *done: seen.append(done))
    assert notes == [f"{N} samples in {out}"] and seen == [(64, N), (N, N)]
    assert sorted(os.listdir(out)) == [f"{i:06}.png" for i in range(N)]
    sample_to_file(folder, tmp_path / "sheet.png", n=N, seed=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))[..., None]
    np.testing.assert_array_equal(np.stack(arrays(out)), ungrid(sheet, SIDE, N)[:, 0])
    assert to_files.names(3_000_000)[-1] == "2999999.png" and to_files.names(2)[0] == "000000.png"


def test_an_interrupted_command_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out, whole = model(tmp_path, "dcgan"), tmp_path / "out", tmp_path / "whole"
    sample_to_files(folder, whole, n=N)
    draw, calls = generate.draw, list[int]()

    def drawn(*arguments: Any, start: int, **settings: Any) -> np.ndarray:
        calls.append(start)
        if start and len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*arguments, start=start, **settings)

    monkeypatch.setattr(to_files.generate, "draw", drawn)
    with pytest.raises(KeyboardInterrupt):
        sample_to_files(folder, out, n=N)
    assert len(list(out.iterdir())) == 64
    (out / ".tmp-killed").write_bytes(b"half")
    (out / "000001.png").write_bytes((out / "000001.png").read_bytes()[:50])  # after a power failure
    (out / "000002.png").unlink()
    notes = sample_to_files(folder, out, n=N)
    assert notes[0] == f"62 of {N} samples were there already" and calls == [0, 64, 0, 64]
    for ours, theirs in zip(sorted(out.iterdir()), sorted(whole.iterdir()), strict=True):
        assert ours.name == theirs.name and ours.read_bytes() == theirs.read_bytes()
    sample_to_files(folder, out, n=N)
    sample_to_files(folder, out, n=5)
    assert len(calls) == 4, "nothing is drawn twice"


def test_samples_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    folder, out = model(tmp_path, "diffusion", sampler_steps=2), tmp_path / "out"
    sample_to_files(folder, out, n=2)
    before = arrays(out)
    for other in ({"seed": 1}, {"options": SampleOptions(steps=3)}):
        with pytest.raises(
            InputError, match=r"000000.png exists already and is no sample of this model, seed"
        ):
            sample_to_files(folder, out, n=3, **other)
    Image.new("L", (SIDE, SIDE)).save(out / "000002.png")  # the user's own
    with pytest.raises(InputError, match=r"000002.png exists already"):
        sample_to_files(folder, out, n=3)
    assert [np.array_equal(a, b) for a, b in zip(before, arrays(out), strict=False)] == [True, True]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_have_the_modes_of_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    folder, before = model(tmp_path, "dcgan"), os.umask(mask)
    try:
        sample_to_files(folder, tmp_path / "out", n=1)
        for name in ("sheet.png", "sheet.webp"):
            sample_to_file(folder, tmp_path / name, n=2)
    finally:
        os.umask(before)
    for file in (tmp_path / "out" / "000000.png", tmp_path / "sheet.png", tmp_path / "sheet.webp"):
        assert file.stat().st_mode & 0o777 == mode


def test_a_source_has_a_file_of_each_sample(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder, options = model(tmp_path, "pix2pix"), SampleOptions(source=pictures["large_mask"])
    notes = sample_to_files(folder, tmp_path / "one", options=options)
    assert len(arrays(tmp_path / "one")) == 1 and notes[0].startswith("The image was cut")
    sample_to_files(folder, tmp_path / "three", n=3, options=options)
    assert len(arrays(tmp_path / "three")) == 3


def test_the_command_line_takes_a_folder(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, calls = str(model(tmp_path, "dcgan")), list[tuple[int, str]]()
    (tmp_path / "there").mkdir()
    for output in (f"{tmp_path}/new.v1/", f"{tmp_path}/there", f"{tmp_path}/x.jpg"):
        with pytest.raises(SystemExit) as ended:
            app.main(["sample", folder, "-n", "3", "-o", output])
        calls.append((int(ended.value.code or 0), capsys.readouterr().err))
    assert [code for code, _ in calls] == [0, 0, 2]
    assert "3 samples in" in calls[0][1] and "a folder's name ends in /" in calls[2][1]
    assert len(arrays(tmp_path / "new.v1")) == len(arrays(tmp_path / "there")) == 3
