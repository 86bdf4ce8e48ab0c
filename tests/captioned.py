"""A tiny family that is told captions, a captioned data set, and a stand-in for the text encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from components.data.card import DatasetCard
from components.data.text import encoder
from components.data.text.encoded import EncodedCaptions
from components.data.text.package import DIM, LONGEST
from models.data_spec import DataSpec
from models.family import Batch, Config, Family, Generator, Noise, Phase, Terms
from models.parts.layers import adam, to_image
from models.registry import FAMILIES

SPLITS = {"train": 64, "validation": 16, "test": 24}
COLOURS, SHAPES = ("black", "grey", "pale", "white"), ("disc", "square", "bar", "ring", "cross", "dot")


def encode(texts: Sequence[str], longest: int = LONGEST) -> EncodedCaptions:
    """A token a word, random but always the same for the same word."""
    words = [text.split()[:longest] for text in texts]
    shape = len(texts), max(1, *map(len, words), 0)
    tokens, mask = np.zeros((*shape, DIM), np.float16), np.zeros(shape, bool)
    for i, each in enumerate(words):
        for j, word in enumerate(each):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
            tokens[i, j], mask[i, j] = np.random.RandomState(seed).standard_normal(DIM), True
    return EncodedCaptions(tokens, mask, sum(len(text.split()) > longest for text in texts))


def captions(n: int) -> list[str]:
    """All pairs of colour and shape, one after the other."""
    return [f"{COLOURS[i % len(COLOURS)]} {SHAPES[i // len(COLOURS) % len(SHAPES)]}" for i in range(n)]


def prepared(folder: Path, *, captioned: bool = True) -> Path:
    """A data set of grey 8 x 8 images, each the picture of its caption with some noise."""
    random = np.random.RandomState(0)
    parts = {word: random.randint(-60, 61, (1, 8, 8)) for word in (*COLOURS, *SHAPES)}
    pictures = {caption: 128 + sum(parts[word] for word in caption.split()) for caption in captions(24)}
    for split, n in SPLITS.items():
        (folder / split).mkdir(parents=True)
        texts = captions(n)
        noisy = np.array([pictures[caption] for caption in texts]) + random.normal(0, 5, (n, 1, 8, 8))
        np.save(folder / split / "images-00000.npy", noisy.clip(0, 255).astype(np.uint8))
        if captioned:
            (folder / split / "captions.json").write_text(json.dumps(texts))
    card = DatasetCard(
        name="shapes", title="shapes", source="test", licence="test", credit="test",
        resolution=8, channels=1, counts=SPLITS, captions=captioned,
    )  # fmt: skip
    (folder / "card.json").write_text(card.to_json())
    return folder


class CaptionedConfig(Config):
    """As a sampler's settings are called."""

    guidance_scale: float = Field(1.0, ge=0)
    sampler_steps: int = Field(1, ge=1)


class Draws(Generator):
    """An image for each caption, and another one for none."""

    def __init__(self, config: CaptionedConfig, card: DataSpec):
        super().__init__()
        self.config, self.card = config, card
        self.draw = nn.Linear(card.text, card.channels * card.resolution**2)

    def forward(self, batch: Batch) -> Tensor:
        assert batch.text is not None and batch.text_mask is not None
        assert batch.text.dtype == torch.float32 and batch.text_mask.dtype == torch.bool
        mask = batch.text_mask[:, :, None]
        mean = (batch.text * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.config.guidance_scale * self.draw(mean).reshape(-1, *self.card.shape)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        return to_image(self(batch))


class Captioned(Family):
    """Least squares from captions to images."""

    Config = CaptionedConfig
    paper = "none"
    takes = frozenset({"text"})

    def __init__(self, config, card, upstream=None):
        super().__init__(config, card, upstream)
        self.generator: Draws = Draws(config, card)
        self.phases = (Phase("fit", self.loss, adam(self.generator, lr=1e-2)),)

    def loss(self, batch: Batch) -> Terms:
        assert batch.image is not None
        return {"mse": (self.generator(batch) - batch.image).square()}


@pytest.fixture
def captioned_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions are encoded without the encoder's weights, and `captioned` is one of the families."""
    monkeypatch.setattr(encoder, "encode", encode)
    monkeypatch.setitem(FAMILIES, "captioned", Captioned)
