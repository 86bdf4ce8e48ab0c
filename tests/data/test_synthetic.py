"""Synthetic data sets with classes are read in each form, or refused in one sentence."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.synthetic import read_synthetic
from components.sampling.data_set import sample_data_set
from components.sampling.shards import Target
from components.store import Store
from tests.sampling.test_from_images import model
from tests.small_data import digits  # noqa: F401  (fixture)

N = 20


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same samples of three classes in each form."""
    root = tmp_path_factory.mktemp("drawn")
    folder = model(root, "cgan", classes=3)
    for output in ("files/", "x.tar", "x.npz"):
        target = Target.of(f"{root}/{output}")
        assert target is not None
        sample_data_set(Store(folder), "", target, n=N)
    return root


@pytest.fixture
def card(digits: Path) -> DatasetCard:  # noqa: F811
    return DatasetCard.read(digits)


@pytest.mark.parametrize("form", ["files", "files/", "x.tar", "x.npz"])
def test_each_form_has_the_same_images_and_classes(drawn: Path, card: DatasetCard, form: str) -> None:
    read, expected = (read_synthetic(f"{drawn}/{name}", card, 1000) for name in (form, "x.npz"))
    assert read.labels is not None and read.labels.tolist() == [i % 3 for i in range(N)]
    np.testing.assert_array_equal(read.images[:], expected.images[:])
    assert len(read_synthetic(f"{drawn}/{form}", card, 7)) == 7


def test_shards_are_read_from_a_url(drawn: Path, card: DatasetCard) -> None:
    Store("memory://synthetic").upload(drawn / "x-000000.tar", "x-000000.tar")
    Store("memory://synthetic").upload(drawn / "x.npz", "x.npz")
    for name in ("x.tar", "x.npz"):
        assert len(read_synthetic(f"memory://synthetic/{name}", card, 1000)) == N


def shard(path: Path, **members: bytes) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name.replace("_", "."))
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def test_what_cannot_be_used_is_refused(tmp_path: Path, drawn: Path, card: DatasetCard) -> None:
    np.savez(tmp_path / "large.npz", arr_0=np.zeros((3, 9, 9, 1), np.uint8), arr_1=np.zeros(3, int))
    np.savez(tmp_path / "classes.npz", arr_0=np.zeros((3, 8, 8, 1), np.uint8), arr_1=np.full(3, 11))
    np.savez(tmp_path / "bare.npz", arr_0=np.zeros((3, 8, 8, 1), np.uint8))
    (tmp_path / "torn.npz").write_bytes((drawn / "x.npz").read_bytes()[:-200])
    (tmp_path / "torn.tar").write_bytes(b"no shard")
    shard(tmp_path / "bare.tar", a_png=(drawn / "files" / "000000.png").read_bytes())
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "a.png").write_bytes((drawn / "files" / "000000.png").read_bytes())
    for name, sentence in (
        ("large.npz", "its images are 1 x 9 x 9, and those of digits8 1 x 8 x 8"),
        ("classes.npz", "digits8 has the classes 0 to 9, and there is a 11"),
        ("bare.npz", "has no arr_0 and arr_1"),
        ("torn.npz", "cannot be read"),
        ("none.npz", "does not exist"),
        ("none.tar", r"there are no shards none-\*.tar with images"),
        ("torn.tar", "cannot be read"),
        ("bare.tar", "has no a.cls: its images need classes"),
        ("bare", "a.png has no class"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_synthetic(f"{tmp_path}/{name}", card, 1000)
