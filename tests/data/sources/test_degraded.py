"""Data sets whose sources are degraded copies of the images of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.card import SPLITS, DatasetCard
from components.data.dataset import open_split
from components.data.sources import prepare
from components.data.sources.degradations import Downscale, Edges, Grey, Noise
from components.data.sources.degraded import degrade
from components.data.versioning import dvc, pins
from tests.data.pictures import contents, fill


def test_everything_but_the_sources_is_that_of_the_base(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "SHARD_BYTES", 700 * 64)
    card = degrade("small", "digits", Downscale(scale=2), home)
    base = DatasetCard.read(home / "data/digits")
    assert card.sources is not None and card.sources.are_paired
    assert (card.sources.resolution, card.sources.channels) == (4, 1)
    assert (card.counts, card.labels, card.label_counts) == (base.counts, base.labels, base.label_counts)
    assert {path: entry for path, entry in card.files.items() if "sources" not in path} == base.files
    assert (card.credit, card.licence) == (base.credit, base.licence)
    assert card.options["base_version"] == pins.pinned(home, "digits")
    for name in SPLITS:
        split = open_split(home / "data/small", name, sources=True)
        assert split.sources is not None and len(split.sources) == len(split)
        for row in (0, len(split) - 1):
            np.testing.assert_array_equal(split.sources[row], Downscale(scale=2)(split.images[row]))
    before = len(list((home / ".dvc/cache/files/md5").rglob("*")))
    assert dvc.track(home, "small").new
    after = len(list((home / ".dvc/cache/files/md5").rglob("*")))
    assert after - before < len(card.files) * 2, "what it shares with the base is stored once"


def test_captions_are_those_of_the_base(home: Path, images: Path) -> None:
    rows = "".join(f"{path.name},{path.stem}\n" for path in sorted(images.iterdir()))
    (images / "captions.csv").write_text(f"file_name,text\n{rows}")
    prepare.add("mine", images, home)
    assert degrade("grey", "mine", Grey(), home).captions
    for split in SPLITS:
        assert (
            open_split(home / "data/grey", split).captions == open_split(home / "data/mine", split).captions
        )


def test_the_same_base_gives_the_same_bytes_and_the_seed_others(
    home: Path, images: Path, tmp_path: Path
) -> None:
    for place in (home, tmp_path / "other"):
        prepare.add("mine", images, place)
        degrade("noisy", "mine", Noise(), place)
    first = contents(home / "data/noisy")
    assert contents(tmp_path / "other/data/noisy") == first
    with pytest.raises(InputError, match="noisy already exists, from mine, degraded: kind noise, sigma 25.0"):
        degrade("noisy", "mine", Noise(), home, seed=1)
    degrade("noisy", "mine", Noise(), home, seed=1, replace=True)
    changed = {path for path, data in contents(home / "data/noisy").items() if data != first[path]}
    assert changed == {"card.json", *(f"{split}/sources-00000.npy" for split in SPLITS)}


def test_a_revision_of_the_base_is_degraded_as_it_was(home: Path, images: Path) -> None:
    prepare.add("mine", images, home)
    version = dvc.track(home, "mine").version
    fill(images, 10, first=50)
    prepare.add("mine", images, home)
    dvc.track(home, "mine")
    assert sum(degrade("old", "mine", Edges(), home, revision=version).counts.values()) == 30
    assert sum(degrade("new", "mine", Edges(), home).counts.values()) == 40


@pytest.mark.parametrize(
    ("name", "base", "degradation", "sentence"),
    [
        ("x3", "digits", Downscale(scale=3), "scale 3 is not supported: choose 2 or 4"),
        ("grey", "digits", Grey(), "grey already"),
        ("x", "missing", Edges(), "there is no data set 'missing'"),
        ("digits", "digits", Edges(), "comes with Atelier"),
    ],
)
def test_what_cannot_be_degraded_is_refused(home: Path, name, base, degradation, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        degrade(name, base, degradation, home)
    assert not (home / f"data/{name}").exists() or name == "digits"
