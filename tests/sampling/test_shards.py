"""The files of a synthetic data set always have the same bytes."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.sampling import shards
from components.sampling.shards import Sample, Target
from components.store import Store
from models.data_spec import DataSpec

IMAGES = np.arange(3 * 64, dtype=np.uint8).reshape(3, 1, 8, 8)
SAMPLES = [Sample(i, {"image": i}, label=i % 2, prompt=f"a {i}") for i in range(3)]


def test_outputs_name_their_form() -> None:
    of = {name: Target.of(name) for name in ("a/", "s3://b/c/", "d.npz", "s3://b/d.TAR", "e.png", "f")}
    forms = {name: target and (target.form, target.stem) for name, target in of.items()}
    assert forms == {
        "a/": ("folder", ""),
        "s3://b/c/": ("folder", ""),
        "d.npz": ("npz", "d"),
        "s3://b/d.TAR": ("webdataset", "d"),
        "e.png": None,
        "f": None,
    }


def test_a_shard_has_no_time_and_no_user() -> None:
    content = shards.shard_of(IMAGES, SAMPLES)
    assert content == shards.shard_of(IMAGES, SAMPLES)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        entries = tar.getmembers()
    endings = ["png", "cls", "txt", "json"]
    assert [entry.name for entry in entries] == [f"{i:06}.{ending}" for i in range(3) for ending in endings]
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(0, 0, 0, "")}


def test_shards_are_whole_chunks_and_smaller_for_large_images() -> None:
    sizes = [shards.shard_size(DataSpec(channels, side)) for channels, side in ((1, 28), (3, 256), (3, 4096))]
    assert sizes == [1024, 320, 64]


def test_a_damaged_part_of_an_npz_is_named(tmp_path: Path) -> None:
    target = Target(Store(tmp_path), "x", "npz")
    target.write(0, IMAGES, SAMPLES)
    target.write(1, IMAGES[:, :, :4], SAMPLES)
    with pytest.raises(InputError, match="x.npz.parts/000001.npy is damaged"):
        shards.write_npz(target, (6, 8, 8, 1), [target.shard(0), target.shard(1)], {})
    target.write(1, IMAGES, SAMPLES)
    shards.write_npz(target, (6, 8, 8, 1), [target.shard(0), target.shard(1)], {"arr_1": np.arange(6)})
    with np.load(tmp_path / "x.npz") as content:
        np.testing.assert_array_equal(content["arr_0"][3:, ..., 0], IMAGES[:, 0])
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
