import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from components.common.errors import InputError
from components.data.batches import Batches
from components.data.dataset import ShardedArray, Split, open_split, to_float, to_uint8


def split(n: int = 50, labelled: bool = True) -> Split:
    """Images whose first pixel is their number."""
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(n)
    return Split(
        ShardedArray([images]), np.arange(n) % 10 if labelled else None, [f"image {i}" for i in range(n)]
    )


def test_uint8_to_float_and_back_is_the_identity():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values).min() == -1 and to_float(values).max() == 1


def test_to_uint8_rounds_and_clamps():
    assert to_uint8(torch.tensor([-2.0, 2.0, 0.9999 / 127.5, 0.0])).tolist() == [0, 255, 128, 128]


def test_shards_on_disk_read_as_one_array():
    whole = np.arange(60).reshape(10, 1, 2, 3).astype(np.uint8)
    shards = ShardedArray([whole[:3], whole[3:4], whole[4:]])
    assert len(shards) == 10 and shards.shape == (10, 1, 2, 3)
    for index in ([9, 0, 3, 3], [], slice(2, 8), slice(None, None, -1), [-1]):
        assert np.array_equal(
            shards[index], whole[index if not isinstance(index, list) else np.array(index, int)]
        )
    assert np.array_equal(shards[3], whole[3]) and np.array_equal(np.asarray(shards), whole)
    with pytest.raises(IndexError):
        shards[[10]]


def test_open_split_maps_the_files(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    np.save(folder / "images-00000.npy", np.zeros((3, 1, 2, 2), np.uint8))
    np.save(folder / "images-00001.npy", np.ones((2, 1, 2, 2), np.uint8))
    (folder / "captions.json").write_text(json.dumps(list("abcde")))
    opened = open_split(tmp_path, "train")
    assert len(opened) == 5 and opened.labels is None and opened.captions == list("abcde")
    assert all(isinstance(array, np.memmap) for array in opened.images.arrays)
    assert opened.images[[4]].max() == 1


def test_an_unknown_or_missing_split_is_told(tmp_path):
    with pytest.raises(InputError, match="known: train, validation, test"):
        open_split(tmp_path, "training")
    with pytest.raises(InputError, match="no prepared images"):
        open_split(tmp_path, "train")


def test_a_split_without_a_class_has_all_others() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    split = Split(ShardedArray([images]), np.array([0, 1, 2, 0, 1, 2]))
    rest = split.without(1)
    assert rest.labels is not None and rest.labels.tolist() == [0, 2, 0, 2]
    assert rest.images[:][:, 0, 0, 0].tolist() == [0, 2, 3, 5]
    batch = Batches(rest, 4, seed=0).at(0)
    assert batch.label is not None and 1 not in batch.label.tolist()
    with pytest.raises(InputError, match="without class 0 no image is left"):
        Split(ShardedArray([images]), np.zeros(6, np.int64)).without(0)


@given(some.lists(some.integers(0, 5), min_size=1, max_size=5).filter(sum), some.data())
def test_arrays_in_any_pieces_are_read_like_one(lengths, data):
    whole = np.arange(sum(lengths) * 4, dtype=np.uint8).reshape(-1, 1, 2, 2)
    shards, n = ShardedArray(np.split(whole, np.cumsum(lengths)[:-1])), len(whole)
    assert len(shards) == n and shards.shape == whole.shape and (np.asarray(shards) == whole).all()
    rows = data.draw(some.lists(some.integers(-n, n - 1), max_size=2 * n))
    index = np.array(rows, np.int64)
    assert (shards[index] == whole[index]).all() and shards[index].dtype == np.uint8
    bounds = some.none() | some.integers(-2 * n, 2 * n)
    part = slice(
        data.draw(bounds), data.draw(bounds), data.draw(some.none() | some.sampled_from([-2, -1, 1, 3]))
    )
    assert (shards[part] == whole[part]).all() and shards[part].shape == whole[part].shape
    for row in rows:
        assert (shards[row] == whole[row]).all()
    for outside in (n, -n - 1):
        with pytest.raises(IndexError):
            shards[[*rows, outside]]
