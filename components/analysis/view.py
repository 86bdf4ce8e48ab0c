"""Parts of a view, which are tables, plots and pictures, and the model and the images that it analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from components.common import seeds
from components.common.chunks import CHUNK
from components.data.dataset import Split, to_float, to_uint8
from components.metrics.distances import Estimate
from components.records import analysis
from components.records.analysis import Cell, Column, Line, Plot, Row, Table
from components.records.evaluation import Metrics
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

TRAINING, TESTS = 5000, 5  # training images that are used, at most, and how many there are for each other one
NARROW = 1024  # pixels of an image, times its colours, up to which principal components are exact


Value = Estimate | float | str
"""A number, one with its interval, or a text."""

Columns = Sequence[tuple[str, Literal["higher", "lower"] | None]]
"""Labels, each with whether higher or lower numbers are better."""


def table(
    columns: Columns, rows: Sequence[tuple[str, Sequence[Value]]], *, note: str = "", rivals: bool = True
) -> Table:
    """A table of named rows with a value for each column.

    Args:
        columns: their labels, and which numbers are better.
        rows: names and values.
        note: a text below the table.
        rivals: whether rows compete, so that the best of a column can be marked.
    """
    return Table(
        rivals=rivals,
        columns=[Column(label=label, better=better) for label, better in columns],
        rows=[Row(name=name, cells=[cell(value) for value in values]) for name, values in rows],
        note=note,
    )


def cell(value: Value) -> Cell:
    """A cell of a table."""
    if isinstance(value, str):
        return Cell(text=value)
    if isinstance(value, Estimate):
        return Cell(value=value.value, low=value.low, high=value.high)
    return Cell(value=float(value))


def plot(
    kind: Literal["lines", "scatter", "bars"],
    x: str,
    y: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    log: bool = False,
) -> Plot:
    """A plot of named lines; points that are not finite are left out.

    Args:
        kind: how points are drawn.
        x: what the axis shows.
        y: what the axis shows.
        lines: points by name.
        log: whether the x axis is logarithmic.
    """
    drawn = {name: [[rounded(x), rounded(y)] for x, y in points] for name, points in lines.items()}
    finite = {name: [p for p in points if np.isfinite(p).all()] for name, points in drawn.items()}
    return Plot(
        kind=kind, x=x, y=y, log=log, lines=[Line(name=n, points=points) for n, points in finite.items()]
    )


def rounded(value: float) -> float:
    """A number to four digits, which are enough to draw."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Picture:
    """Images in rows and columns."""

    images: np.ndarray  # uint8 (rows columns, C, H, W), row by row
    columns: int
    title: str
    meaning: str


@dataclass(frozen=True)
class View:
    """One use of the latent codes, with the images of its pictures."""

    name: str
    title: str
    meaning: str
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    pictures: Sequence[Picture] = ()

    def record(self) -> analysis.View:
        """The view without images; picture i of the view is in <name>-<i>.webp."""
        pictures = [
            analysis.Picture(
                path=f"{self.name}-{i}.webp",
                title=picture.title,
                meaning=picture.meaning,
                rows=-(-len(picture.images) // picture.columns),
                columns=picture.columns,
            )
            for i, picture in enumerate(self.pictures)
        ]
        tables, plots = list(self.tables), list(self.plots)
        return analysis.View(
            name=self.name,
            title=self.title,
            meaning=self.meaning,
            tables=tables,
            plots=plots,
            pictures=pictures,
        )


def max_images(split: str, training: int) -> int:
    """The number of images of a split that are used, at most, where `training` are of the training split."""
    return training if split == "train" else max(1, training // TESTS)


Judge = Callable[[np.ndarray, np.ndarray | None], Metrics]
"""Images (N, C, H, W) and the classes they are of -> judged numbers (components/evaluation/evaluate.py)."""


@dataclass
class Subject:
    """A generator that encodes images, and the images that it is analysed on."""

    generator: Generator
    card: DataSpec
    splits: Mapping[str, Split]  # train, validation, test
    names: Sequence[str] | None = None  # of the classes
    conditional: bool = False  # on the class
    seed: int = 0
    device: str = "cpu"
    detectors: Mapping[str, Generator] = field(default_factory=dict)  # by the class they never saw
    judge: Judge | None = None
    training: int = TRAINING  # images

    def images(self, split: str) -> np.ndarray:
        """The images of a split that are used, uint8 (N, C, H, W)."""
        return self.splits[split].images[np.arange(self.count(split))]

    def labels(self, split: str) -> np.ndarray | None:
        """Their classes, (N,)."""
        labels = self.splits[split].labels
        return None if labels is None else np.asarray(labels[: self.count(split)])

    def count(self, split: str) -> int:
        """Their number."""
        return min(len(self.splits[split]), max_images(split, self.training))

    @property
    def latent(self) -> int:
        """Z, the numbers in a code."""
        return int(self.codes["train"].shape[1])

    @cached_property
    def codes(self) -> dict[str, np.ndarray]:
        """Their codes, float64 (N, Z), by split."""
        return {split: self.encode(self.images(split), self.labels(split)) for split in self.splits}

    @torch.no_grad()
    def encode(
        self, images: np.ndarray, labels: np.ndarray | None = None, by: Generator | None = None
    ) -> np.ndarray:
        """Codes (N, Z) of images, by this generator or another."""
        generator: Any = by or self.generator
        codes = [generator.code(batch) for batch in self.batches(images, labels)]
        return torch.cat(codes).double().cpu().numpy()

    @torch.no_grad()
    def decode(
        self, codes: np.ndarray, labels: np.ndarray | None = None, by: Generator | None = None
    ) -> np.ndarray:
        """The images of codes (N, Z), uint8 (N, C, H, W)."""
        generator: Any = by or self.generator
        z = torch.from_numpy(np.asarray(codes, dtype=np.float32))
        parts = []
        for start in range(0, len(z), CHUNK):
            batch = Batch(len(z[start : start + CHUNK]), label=self._labels(labels, start)).to(self.device)
            parts.append(to_uint8(generator.picture(z[start : start + CHUNK].to(self.device), batch)).cpu())
        return torch.cat(parts).numpy()

    def reconstruct(
        self, images: np.ndarray, labels: np.ndarray | None = None, by: Generator | None = None
    ) -> np.ndarray:
        """Reconstructions of images, uint8 (N, C, H, W)."""
        return self.decode(self.encode(images, labels, by), labels, by)

    def batches(self, images: np.ndarray, labels: np.ndarray | None) -> Iterator[Batch]:
        """Images as a generator takes them."""
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            yield Batch(len(chunk), to_float(chunk), self._labels(labels, start)).to(self.device)

    def _labels(self, labels: np.ndarray | None, start: int) -> Tensor | None:
        """The classes of a chunk, if the generator is class-conditional."""
        if not self.conditional or labels is None:
            return None
        return torch.from_numpy(np.asarray(labels[start : start + CHUNK], dtype=np.int64))

    def noise(self, start: int, n: int) -> Noise:
        """Noise for images [start, start + n)."""
        return Noise([seeds.seed_of(self.seed, i) for i in range(start, start + n)], self.device)

    @property
    def random(self) -> np.random.RandomState:
        """Random numbers, the same each time."""
        return np.random.RandomState(self.seed)

    @cached_property
    def pca(self) -> PCA:
        """As many principal components of the training images as there are numbers in a code."""
        pixels = flat(self.images("train"))
        most = min(self.latent, *pixels.shape)
        # Exact by the covariance while that is small; at 64 pixels in colour it would take minutes.
        solver = "covariance_eigh" if pixels.shape[1] <= NARROW else "randomized"
        return PCA(most, svd_solver=solver, random_state=self.seed).fit(pixels)

    def by_pca(self, images: np.ndarray) -> np.ndarray:
        """Reconstructions of images from their principal components."""
        return self.unflat(self.pca.inverse_transform(self.pca.transform(flat(images))))

    def unflat(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (N, C H W) in [0, 1] as uint8 images."""
        return np.rint(pixels * 255).clip(0, 255).astype(np.uint8).reshape(-1, *self.card.shape)


def flat(images: np.ndarray) -> np.ndarray:
    """Images as rows of pixels in [0, 1]."""
    return images.reshape(len(images), -1) / 255.0
