"""Two tiny families that make images from sources: with pairs and without, adversarial, with BatchNorm.

Not in models/: they exist to show that all that a family meets on its way works for translators.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus

from components.common.hashing import digest
from components.data.card import SPLITS, DatasetCard, Sources
from models.data_spec import DataSpec, SourceShape
from models.family import (
    DISCRIMINATOR,
    GENERATOR,
    Batch,
    Config,
    Family,
    Generator,
    Noise,
    Phase,
    Terms,
)
from models.parts.layers import adam
from models.parts.losses import auc
from models.registry import FAMILIES
from tests import tiny

NAMES = PAIRED, UNPAIRED = "tiny_paired", "tiny_unpaired"
CARD = DataSpec(1, 8, 10, source=SourceShape(3, 4))


class TinyConfig(Config):
    """Width, and the weight of |y - G(x)|, or of |x - F(G(x))|."""

    width: int = 8
    closeness: float = 10.0


def network(channels: int, out: int, width: int) -> nn.Sequential:
    """Convolutions with BatchNorm, from images to images."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, out, 3, padding=1),
    )


def sized(x: Tensor, side: int) -> Tensor:
    return interpolate(x, size=(side, side), mode="nearest")


class Translator(Generator):
    """G(x, z): an image for each source."""

    def __init__(self, config: TinyConfig, card: DataSpec):
        super().__init__()
        assert card.source is not None
        self.card = card
        self.network = network(card.source.channels + 1, card.channels, config.width)

    def forward(self, source: Tensor, z: Tensor) -> Tensor:
        return self.network(torch.cat([sized(source, self.card.resolution), z], 1)).tanh()

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(x, z)."""
        assert batch.source is not None and batch.image is None, "a target is never seen when sampling"
        return self(batch.source, noise(1, self.card.resolution, self.card.resolution))


class Tiny(Family):
    """What both have in common: phases called D and G that say which part they play."""

    Config = TinyConfig
    needs = frozenset({"source"})
    paper = "none: a family of the tests"
    config: TinyConfig

    def __init__(self, config: TinyConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        assert card.source is not None
        self.generator = Translator(config, card)
        self.D = network(card.channels + self.seen(card.source), 1, config.width)
        self.build(config, card.source)
        self.phases = (
            Phase("D", self.discriminator_loss, adam(self.D, lr=1e-3), role=DISCRIMINATOR),
            Phase("G", self.generator_loss, adam(*self.moved(), lr=1e-3), role=GENERATOR),
        )

    def seen(self, source: SourceShape) -> int:
        """Channels of a source that D sees."""
        return 0

    def build(self, config: TinyConfig, source: SourceShape) -> None:
        """Further networks."""

    def moved(self) -> tuple[nn.Module, ...]:
        """What the phase G trains."""
        return (self.generator,)

    def fake(self, batch: Batch) -> Tensor:
        assert batch.source is not None
        side = self.card.resolution
        return self.generator(batch.source, torch.randn(len(batch), 1, side, side))

    def score(self, y: Tensor, source: Tensor) -> Tensor:
        return self.D(y).flatten(1).mean(1)

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-E[log D(y)] - E[log(1 - D(G(x)))]"""
        assert batch.image is not None and batch.source is not None
        r, f = self.score(batch.image, batch.source), self.score(self.fake(batch), batch.source)
        terms = {"real": softplus(-r), "fake": softplus(f)}
        loss = (terms["real"] + terms["fake"]).detach().mean()
        return terms, {"D(x)": r.sigmoid(), "D(G(z))": f.sigmoid(), "auc": auc(r, f), "loss": loss}

    def generator_loss(self, batch: Batch) -> Terms:
        """-E[log D(G(x))] + lambda times how far it is from what it should be."""
        assert batch.source is not None
        fake = self.fake(batch)
        return {
            "score": softplus(-self.score(fake, batch.source)),
            "closeness": self.config.closeness * self.distance(batch, fake),
        }

    def distance(self, batch: Batch, fake: Tensor) -> Tensor:
        raise NotImplementedError


class TinyPaired(Tiny):
    """As Isola et al. 2017, Pix2Pix, in its parts: D sees the source too, and G is to come close to y."""

    task = "translate"

    def seen(self, source: SourceShape) -> int:
        return source.channels

    def score(self, y: Tensor, source: Tensor) -> Tensor:
        return super().score(torch.cat([y, sized(source, self.card.resolution)], 1), source)

    def distance(self, batch: Batch, fake: Tensor) -> Tensor:
        """|y - G(x)|"""
        assert batch.image is not None
        return (batch.image - fake).abs().flatten(1).mean(1)


class TinyUnpaired(Tiny):
    """As Zhu et al. 2017, CycleGAN, in its parts: a second network leads back."""

    task = "translate_unpaired"
    F: nn.Module

    def build(self, config: TinyConfig, source: SourceShape) -> None:
        self.F = network(self.card.channels, source.channels, config.width)

    def moved(self) -> tuple[nn.Module, ...]:
        return self.generator, self.F

    def distance(self, batch: Batch, fake: Tensor) -> Tensor:
        """|x - F(G(x))|"""
        assert batch.source is not None
        side = batch.source.shape[-1]
        return (batch.source - sized(self.F(fake), side)).abs().flatten(1).mean(1)


def register() -> None:
    """Enter both; also what a process of another rank does before it trains them."""
    for name, family in zip(NAMES, (TinyPaired, TinyUnpaired), strict=True):
        FAMILIES[name], tiny.CONFIGS[name] = family, {}


def remove() -> None:
    """Take both out again."""
    for name in NAMES:
        FAMILIES.pop(name, None)
        tiny.CONFIGS.pop(name, None)


@pytest.fixture
def translators() -> Iterator[None]:
    """Both families, registered."""
    register()
    yield
    remove()


def colour(images: np.ndarray, side: int) -> np.ndarray:
    """A small inverted RGB image (N, 3, side, side) of each grey image."""
    step = images.shape[-1] // side
    return np.repeat(255 - images[:, :, ::step, ::step], 3, axis=1)


def with_sources(
    data: Path,
    folder: Path,
    side: int = 4,
    counts: Mapping[str, int] | None = None,
    *,
    channels: int = 3,
    paired: Sequence[str] | None = None,
) -> Path:
    """A copy of a prepared data set in `folder` with sources: of its images in turn, `counts` of a split.

    All splits are paired, or, with `counts`, none; unless `paired` says which.
    """
    shutil.copytree(data, folder)
    card = DatasetCard.read(folder)
    pairs = (() if counts else SPLITS) if paired is None else tuple(paired)
    counts, files = dict(counts or card.counts), dict(card.files)
    for split, count in counts.items():
        images = np.load(folder / split / "images-00000.npy")
        path = folder / split / "sources-00000.npy"
        np.save(path, colour(images[np.arange(count) % len(images)], side)[:, :channels])
        entry = {"sha256": digest(path, "sha256"), "bytes": path.stat().st_size}
        files[f"{split}/{path.name}"] = entry  # type: ignore[assignment]
    sources = Sources(resolution=side, channels=channels, counts=counts, paired=pairs)
    about = {"sources": sources, "files": files}
    changed = DatasetCard.model_validate(card.model_dump() | about)
    (folder / "card.json").write_text(changed.to_json())
    return folder
