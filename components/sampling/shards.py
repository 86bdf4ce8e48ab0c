"""The files of a synthetic data set: a PNG of each sample, shards that WebDataset reads, or one npz.

The same samples always have the same bytes: no file has a time, user or machine in it.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Literal

import numpy as np

from components.common.chunks import CHUNK
from components.common.errors import InputError
from components.common.hashing import sha256
from components.sampling import png
from components.sampling.to_files import DIGITS
from components.store import Store
from components.store.transfer import Upload, upload_all
from models.data_spec import DataSpec

Form = Literal["folder", "webdataset", "npz"]

ENDINGS: dict[Form, str] = {"webdataset": "tar", "npz": "npz"}  # of names that -o gives
LARGEST = 1024  # images in a shard
PIXELS = 2**26  # bytes of a shard's pixels, beyond which it has fewer images
WRITERS = 16  # files of a folder that are written at a time
EPOCH = (1980, 1, 1, 0, 0, 0)  # of members of a zip, which must have a time


@dataclass(frozen=True)
class Sample:
    """The data of an image besides its pixels."""

    number: int
    made: png.Made
    label: int | None = None
    prompt: str | None = None

    @property
    def key(self) -> str:
        """Its name in files."""
        return f"{self.number:0{DIGITS}}"


@dataclass(frozen=True)
class Target:
    """The place where a data set is written, and its form.

    Attributes:
        store: its folder.
        stem: the first part of the names of its files; empty: the folder is its own.
        form: the form of its files.
    """

    store: Store
    stem: str
    form: Form

    @classmethod
    def of(cls, output: str) -> Target | None:
        """Return the target of `-o`: FOLDER/, NAME.tar, NAME.npz, or a URL of these; None: it is another."""
        if output.endswith("/"):
            return cls(Store(output.rstrip("/") or "/"), "", "folder")
        folder, _, name = output.rpartition("/")
        stem, _, ending = name.rpartition(".")
        form = next((form for form, named in ENDINGS.items() if named == ending.lower()), None)
        return cls(Store(folder or "."), stem, form) if stem and form else None

    def file(self, name: str) -> str:
        """Return the name of a file beside the samples."""
        return f"{self.stem}.{ENDINGS[self.form]}.{name}" if self.stem else name

    def shard(self, number: int) -> str:
        """Return the name of a shard; of an npz, of a part that is removed at the end."""
        if self.form == "webdataset":
            return f"{self.stem}-{number:0{DIGITS}}.tar"
        return f"{self.stem}.npz.parts/{number:0{DIGITS}}.npy"

    def names(self, number: int, samples: range) -> list[str]:
        """Return the files that hold some samples."""
        if self.form == "folder":
            return [f"{i:0{DIGITS}}.png" for i in samples]
        return [self.shard(number)]

    def write(self, number: int, images: np.ndarray, samples: Sequence[Sample]) -> dict[str, str]:
        """Write images, uint8 (n, C, H, W); return the sha256 of each file that stays."""
        if self.form == "folder":
            files = {
                f"{sample.key}.png": encoded(image, sample)
                for image, sample in zip(images, samples, strict=True)
            }
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(self.store.write_bytes, files, files.values()))  # raises what a write raises
            return {name: sha256(content) for name, content in files.items()}
        content = shard_of(images, samples) if self.form == "webdataset" else array_of(images)
        self.store.write_bytes(self.shard(number), content)
        return {self.shard(number): sha256(content)}


def shard_size(card: DataSpec) -> int:
    """Return the number of images in a shard: whole chunks of sampling."""
    bytes_of_image = card.channels * card.resolution**2
    return max(CHUNK, min(LARGEST, PIXELS // bytes_of_image // CHUNK * CHUNK))


def encoded(image: np.ndarray, sample: Sample) -> bytes:
    """Return an image, uint8 (C, H, W), as a PNG that says how it was made."""
    return png.encoded(image.transpose(1, 2, 0), sample.made)


def shard_of(images: np.ndarray, samples: Sequence[Sample]) -> bytes:
    """Return a shard of WebDataset: the .png and .json of each sample, and its .cls and .txt, if any."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for image, sample in zip(images, samples, strict=True):
            for ending, content in members(image, sample):
                entry = tarfile.TarInfo(f"{sample.key}.{ending}")  # of no user, at time 0
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def members(image: np.ndarray, sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a sample in a shard, by their ending."""
    yield "png", encoded(image, sample)
    if sample.label is not None:
        yield "cls", str(sample.label).encode()
    if sample.prompt is not None:
        yield "txt", sample.prompt.encode()
    yield "json", png.text_of(sample.made).encode()


def array_of(images: np.ndarray) -> bytes:
    """Return images, uint8 (n, C, H, W), as a .npy file of (n, H, W, C)."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    return buffer.getvalue()


def write_npz(
    target: Target, shape: tuple[int, ...], parts: Sequence[str], columns: dict[str, np.ndarray]
) -> str:
    """Put the parts of an npz together, one in memory at a time, and remove them; return its sha256.

    Args:
        target: where it is written.
        shape: (N, H, W, C) of all images, which are `arr_0`.
        parts: the .npy files of its images, in order.
        columns: further arrays by name.

    Raises:
        InputError: a part has another shape, since it was damaged.
    """
    name = f"{target.stem}.npz"
    with TemporaryDirectory(prefix="atelier-npz-") as scratch:
        file = Path(scratch) / "all.npz"
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open(entry("arr_0"), "w", force_zip64=True) as member:
                header(member, shape)
                for part in parts:
                    images = np.load(io.BytesIO(target.store.read_bytes(part)))
                    if images.shape[1:] != shape[1:]:
                        raise InputError(f"{part} is damaged: remove it, and run the same command again")
                    member.write(images.tobytes())
            for key, values in columns.items():
                with archive.open(entry(key), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
        upload = Upload.of(name, file)
        upload_all(target.store, [upload])
    target.store.delete(f"{name}.parts")
    return upload.sha256


def entry(name: str) -> zipfile.ZipInfo:
    """Return a member of an npz, of no time."""
    return zipfile.ZipInfo(f"{name}.npy", EPOCH)


def header(member: IO[bytes], shape: tuple[int, ...]) -> None:
    """Write the header of a .npy file of bytes."""
    np.lib.format.write_array_header_1_0(
        member, {"descr": "|u1", "fortran_order": False, "shape": tuple(int(size) for size in shape)}
    )
