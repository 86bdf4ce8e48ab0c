"""Synthetic data sets in each form: complete, resumed, the same bytes again, never mixed with others."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from components.common.errors import InputError
from components.sampling import data_set, generate, shards
from components.sampling.data_set import sample_data_set
from components.sampling.request import SampleOptions
from components.sampling.shards import Target
from components.sampling.sheets import ungrid
from components.sampling.to_file import sample_to_file
from components.store import Store
from flows.cli import app
from tests.sampling.test_from_images import SIDE, model

N = 70  # more than a chunk, and than a shard in these tests
DESCRIBING = {"README.md", "croissant.json", "synthetic.json"}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)  # of the cluster that other tests share
    monkeypatch.setattr(shards, "LARGEST", 64)


def sample_to_files(folder: Path, out: Path, **arguments: Any) -> list[str]:
    return draw_set(folder, f"{out}/", **arguments)


def draw_set(folder: Path, output: str, **arguments: Any) -> list[str]:
    target = Target.of(output)
    assert target is not None
    return sample_data_set(Store(folder), "", target, **arguments)


def arrays(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_are_the_samples_of_a_sheet_in_order(tmp_path: Path) -> None:
    folder, out = model(tmp_path, "dcgan"), tmp_path / "out"
    calls: list[tuple[int, int]] = []
    notes = sample_to_files(folder, out, n=N, seed=3, progress=lambda *done: calls.append(done))
    assert notes == [f"{N} samples in {out}"] and calls == [(0, N), (64, N), (N, N)]
    assert set(os.listdir(out)) == {f"{i:06}.png" for i in range(N)} | DESCRIBING
    sample_to_file(folder, tmp_path / "sheet.png", n=N, seed=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))[..., None]
    np.testing.assert_array_equal(np.stack(arrays(out)), ungrid(sheet, SIDE, N)[:, 0])


def test_an_interrupted_command_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out, whole = model(tmp_path, "dcgan"), tmp_path / "out", tmp_path / "whole"
    sample_to_files(folder, whole, n=N)
    draw, calls = generate.draw, list[int]()

    def drawn(*arguments: Any, start: int, **settings: Any) -> np.ndarray:
        calls.append(start)
        if start and len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*arguments, start=start, **settings)

    monkeypatch.setattr(data_set.generate, "draw", drawn)
    with pytest.raises(KeyboardInterrupt):
        sample_to_files(folder, out, n=N)
    assert len(list(out.glob("*.png"))) == 64 and not (out / "README.md").exists()
    (out / ".tmp-killed").write_bytes(b"half")
    (out / "000001.png").write_bytes((out / "000001.png").read_bytes()[:50])  # after a power failure
    (out / "000002.png").unlink()
    notes = sample_to_files(folder, out, n=N)
    assert notes[0] == f"{N} samples in {out}" and calls == [0, 64, 0, 64]
    assert contents(out) == contents(whole)
    assert sample_to_files(folder, out, n=N)[0] == f"{N} of {N} samples were there already"
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


def labelled(tmp_path: Path) -> Path:
    return model(tmp_path, "cgan", classes=3)


@pytest.mark.parametrize("form", ["x/", "x/digits.tar", "x/digits.npz"])
def test_a_cut_off_data_set_continues_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    folder, whole, cut = labelled(tmp_path), tmp_path / "whole", f"memory://{tmp_path.name}"
    draw_set(folder, f"{whole}/{form}", n=N)
    write, written = Target.write, list[int]()

    def interrupted(target: Target, number: int, *arguments: Any) -> dict[str, str]:
        if written == [0]:
            raise KeyboardInterrupt
        written.append(number)
        return write(target, number, *arguments)

    monkeypatch.setattr(Target, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_set(folder, f"{cut}/{form}", n=N)
    there = Store(f"{cut}/x")
    assert "synthetic.json" in " ".join(there.find()) and "README.md" not in " ".join(there.find())
    monkeypatch.setattr(Target, "write", write)
    notes = draw_set(folder, f"{cut}/{form}", n=N)
    assert notes[0] == f"64 of {N} samples were there already"
    assert {name: there.read_bytes(name) for name in there.find()} == contents(whole / "x")
    assert draw_set(folder, f"{cut}/{form}", n=N)[0] == f"{N} of {N} samples were there already"


def test_shards_are_read_by_webdataset(tmp_path: Path) -> None:
    folder, out = labelled(tmp_path), tmp_path / "out"
    draw_set(folder, f"{out}/digits.tar", n=N, seed=3)
    names = ["digits-000000.tar", "digits-000001.tar"]
    assert sorted(path.name for path in out.glob("*.tar")) == names
    read = webdataset.WebDataset([str(out / name) for name in names], shardshuffle=False).decode("pill")
    samples = list(read)
    assert [sample["__key__"] for sample in samples] == [f"{i:06}" for i in range(N)]
    assert [sample["cls"] for sample in samples] == [i % 3 for i in range(N)]
    assert samples[69]["json"]["image"] == 69 and samples[69]["json"]["seed"] == 3
    draw_set(folder, f"{tmp_path}/files/", n=N, seed=3)
    for sample, image in zip(samples, arrays(tmp_path / "files"), strict=True):
        np.testing.assert_array_equal(np.asarray(sample["png"]), image)


def test_an_npz_has_images_and_classes(tmp_path: Path) -> None:
    folder = labelled(tmp_path)
    draw_set(folder, f"{tmp_path}/out/digits.npz", n=N)
    draw_set(folder, f"{tmp_path}/files/", n=N)
    with np.load(tmp_path / "out" / "digits.npz", allow_pickle=False) as content:
        assert content["arr_0"].shape == (N, SIDE, SIDE, 1)
        np.testing.assert_array_equal(content["arr_0"][..., 0], np.stack(arrays(tmp_path / "files")))
        assert content["arr_1"].tolist() == [i % 3 for i in range(N)]
    assert not list((tmp_path / "out").glob("*.parts/*"))


def test_a_folder_has_a_table_of_classes(tmp_path: Path) -> None:
    draw_set(labelled(tmp_path), f"{tmp_path}/out/", n=4)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "labels.csv").read_text())))
    assert [(row["file_name"], row["label"]) for row in rows] == [
        ("000000.png", "0"), ("000001.png", "1"), ("000002.png", "2"), ("000003.png", "0")
    ]  # fmt: skip


def test_many_shards_are_drawn_over_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, jobs = labelled(tmp_path), list[tuple[Any, ...]]()

    def call(job: str, *arguments: Any, gpus: float) -> Any:
        jobs.append((job, arguments[1], gpus))
        return data_set.write_shard(*arguments)

    monkeypatch.setattr(data_set.ray_cluster, "call", call)
    monkeypatch.setattr(data_set.ray_cluster, "connect", lambda: None)
    monkeypatch.setattr(data_set, "places", lambda device: 2)
    monkeypatch.setattr(data_set, "PAYS", 0.0)
    notes = draw_set(folder, f"{tmp_path}/a/x.tar", n=200)
    assert notes[-1] == f"200 samples in {tmp_path}/a, drawn by 1 worker", "this process"
    assert sorted(jobs) == [("components.sampling.data_set:write_shard", number, 0) for number in (1, 2, 3)]
    monkeypatch.setattr(data_set, "PAYS", 1e9)
    assert draw_set(folder, f"{tmp_path}/b/x.tar", n=200)[-1] == f"200 samples in {tmp_path}/b"
    assert data_set.by_workers(2) == ", drawn by 2 workers"
    assert len(jobs) == 3 and contents(tmp_path / "a") == contents(tmp_path / "b")


def change_seed(folder: Path, out: str) -> None:
    draw_set(folder, out, n=N, seed=1)


def change_number(folder: Path, out: str) -> None:
    draw_set(folder, out, n=N + 1)


@pytest.mark.parametrize("change", [change_seed, change_number])
@pytest.mark.parametrize("name", ["x.tar", "x.npz"])
def test_shards_of_others_are_not_continued(
    tmp_path: Path, change: Callable[[Path, str], None], name: str
) -> None:
    folder, out = labelled(tmp_path), tmp_path / "out"
    draw_set(folder, f"{out}/{name}", n=N)
    before = contents(out)
    with pytest.raises(
        InputError, match=f"{name}.synthetic.json belongs to samples of another model, seed, number"
    ):
        change(folder, f"{out}/{name}")
    assert contents(out) == before


def test_files_of_the_user_are_not_replaced(tmp_path: Path) -> None:
    folder, out = labelled(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"README.md exists already; name another place"):
        draw_set(folder, f"{out}/", n=3)
    (out / "x-000000.tar").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"x-000000.tar exists already"):
        draw_set(folder, f"{out}/x.tar", n=3)
    assert contents(out) == {"README.md": b"mine", "x-000000.tar": b"mine"}


@pytest.mark.s3
@pytest.mark.parametrize("form", ["x/", "x/digits.tar", "x/digits.npz"])
def test_a_bucket_gets_the_same_files(tmp_path: Path, bucket: str, form: str) -> None:
    folder, there = labelled(tmp_path), Store(f"s3://{bucket}/x")
    draw_set(folder, f"{tmp_path}/{form}", n=N)
    draw_set(folder, f"s3://{bucket}/{form}", n=N)
    assert {name: there.read_bytes(name) for name in there.find()} == contents(tmp_path / "x")
    assert draw_set(folder, f"s3://{bucket}/{form}", n=N)[0] == f"{N} of {N} samples were there already"
