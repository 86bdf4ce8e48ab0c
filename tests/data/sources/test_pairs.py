"""Images with sources: pairs by name and side by side, and two domains without pairs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from components.common.errors import InputError
from components.data.card import SPLITS, DatasetCard
from components.data.dataset import open_split
from components.data.sources import pairs
from components.data.sources.prepare import add
from components.data.versioning import dvc
from tests.data.pictures import contents, fill, picture


def negatives(images: Path, folder: Path, **options: str) -> Path:
    """The negative of every image, under the same name, as the source that it is made from."""
    for path in sorted(images.rglob("*.png")):
        target = (folder / path.relative_to(images)).with_suffix(options.get("suffix", ".png"))
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - np.asarray(Image.open(path))).save(target)
    return folder


def assert_negatives(folder: Path, count: int) -> None:
    rows = [open_split(folder, split, sources=True) for split in SPLITS]
    assert sum(map(len, rows)) == count
    for row in rows:
        assert row.sources is not None
        np.testing.assert_array_equal(row.sources[:], 255 - row.images[:])


def test_pairs_of_equal_names_stay_together(home: Path, images: Path, tmp_path: Path) -> None:
    sources = negatives(images, tmp_path / "other", suffix=".bmp")
    card = add("mine", images, home, sources=sources, resolution=20)
    assert card.sources is not None and card.sources.are_paired and card.sources.counts == card.counts
    assert card.sources.shape.shape == (3, 20, 20) and card.card.source is not None
    assert card.source == "images made from other" and str(home.parent) not in card.to_json()
    assert_negatives(home / "data/mine", 30)
    assert dvc.track(home, "mine").new
    DatasetCard.read(home / "data/mine").verify(home / "data/mine")


def test_the_bytes_of_pairs_depend_on_neither_workers_nor_place(
    home: Path, images: Path, tmp_path: Path
) -> None:
    sources = negatives(images, tmp_path / "one" / "sources")
    add("mine", images, home, sources=sources, workers=1)
    first = contents(home / "data/mine")
    add(
        "mine",
        images,
        home,
        sources=negatives(images, tmp_path / "two" / "sources"),
        workers=5,
        replace=True,
    )
    assert contents(home / "data/mine") == first


def test_small_sources_keep_their_size(home: Path, images: Path, tmp_path: Path) -> None:
    sources = fill(tmp_path / "small", 30, size=(5, 5), mode="L")
    card = add("mine", images, home, sources=sources, resolution=20, source_resolution=5)
    assert card.sources is not None and (card.sources.resolution, card.sources.channels) == (5, 1)
    assert open_split(home / "data/mine", "test", sources=True).batch([0]).source.shape == (1, 1, 5, 5)  # type: ignore[union-attr]


def test_classes_splits_and_captions_are_those_of_the_images(home: Path, tmp_path: Path) -> None:
    for number, folder in enumerate(["train/cat", "train/dog", "test/cat", "test/dog"]):
        fill(tmp_path / "images" / folder, 20, first=20 * number)
    sources = negatives(tmp_path / "images", tmp_path / "sources")
    card = add("mine", tmp_path / "images", home, sources=sources, resolution=20)
    assert card.labels == ["cat", "dog"] and card.counts == {"train": 32, "validation": 8, "test": 40}
    assert_negatives(home / "data/mine", 80)
    captions = [
        f"{s}/cat/{i:03d}.png,{s}{i}\n" for s, n in (("train", 0), ("test", 40)) for i in range(n, n + 20)
    ]
    (tmp_path / "images/captions.csv").write_text("file_name,text\n" + "".join(captions))
    card = add("mine", tmp_path / "images", home, sources=sources, max_skipped=40)
    assert card.captions and sum(card.counts.values()) == 40 and card.skipped == {"no caption": 40}
    assert sorted(open_split(home / "data/mine", "test").captions or []) == [
        f"test{i}" for i in range(40, 60)
    ]


def test_files_without_a_partner_are_named_ten_of_each(home: Path, images: Path, tmp_path: Path) -> None:
    sources = negatives(images, tmp_path / "other")
    for i in range(12):
        (sources / f"{i:03d}.png").rename(sources / f"x{i:02d}.png")
    (images / "029.png").unlink()
    with pytest.raises(InputError) as error:
        add("mine", images, home, sources=sources)
    assert str(error.value) == (
        "the pairs do not match by name: 12 images without a source (000, 001, 002, 003, 004, 005, 006, 007, "
        "008, 009, ...), and 13 sources without an image (029, x00, x01, x02, x03, x04, x05, x06, x07, x08, "
        "...); rename the files, or pass --unpaired if they are no pairs"
    )
    assert not (home / "data/mine").exists()


def test_a_pair_of_other_proportions_is_skipped(home: Path, tmp_path: Path) -> None:
    """Their centre squares would show different things."""
    images, sources = fill(tmp_path / "images", 40), fill(tmp_path / "sources", 40, size=(41, 40))
    picture(0, (40, 20)).save(sources / "000.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for folder, size, options in ((images, (20, 30), {}), (sources, (30, 20), {"exif": exif})):
        picture(1, size).save(folder / "001.jpg", **options)
        (folder / "001.png").unlink()
    card = add("mine", images, home, sources=sources, resolution=8)
    assert sum(card.counts.values()) == 39
    assert [name for name, _ in card.skipped_files] == ["000.png"]
    assert "its source has other proportions" in next(iter(card.skipped))


def test_accents_are_matched_however_they_are_stored(home: Path, tmp_path: Path) -> None:
    for i in range(30):
        for folder, form in (("images", "NFC"), ("sources", "NFD")):
            (tmp_path / folder).mkdir(exist_ok=True)
            picture(i).save(tmp_path / folder / unicodedata.normalize(form, f"é{i}.png"))
    card = add("mine", tmp_path / "images", home, sources=tmp_path / "sources", resolution=8)
    assert sum(card.counts.values()) == 30 and not card.skipped


def test_two_files_of_a_name_are_refused(home: Path, images: Path, tmp_path: Path) -> None:
    sources = negatives(images, tmp_path / "other")
    picture(99).save(sources / "003.bmp")
    with pytest.raises(InputError, match=r"other has two images of the name 003 \(003.bmp and 003.png\)"):
        add("mine", images, home, sources=sources)


def test_a_pair_with_an_unusable_file_is_skipped_and_counted_once(
    home: Path, images: Path, tmp_path: Path
) -> None:
    sources = negatives(images, tmp_path / "other")
    (sources / "000.png").write_bytes(b"")
    (images / "001.png").write_text("text")
    (sources / "002.png").unlink()
    (sources / "002.heic").write_bytes(b"")
    card = add("mine", images, home, sources=sources, resolution=20)
    assert sorted(file for file, _ in card.skipped_files) == ["000.png", "001.png", "002.heic"]
    assert_negatives(home / "data/mine", 27)


def test_pairs_that_share_an_image_or_a_source_share_a_split(home: Path, tmp_path: Path) -> None:
    images, sources = tmp_path / "images", tmp_path / "sources"
    for folder, seed in ((images, 0), (sources, 100)):
        folder.mkdir()
        for i in range(60):
            copy = i < 10 if folder == images else 9 <= i < 19
            picture(seed if copy else seed + i).save(folder / f"{i:03d}.png")
    add("mine", images, home, sources=sources)
    first = picture(0).resize((32, 32), Image.Resampling.LANCZOS)
    wanted = np.asarray(first).transpose(2, 0, 1)
    counts = [
        sum((image == wanted).all() for image in open_split(home / "data/mine", split).images[:])
        for split in SPLITS
    ]
    assert sorted(counts) == [0, 0, 10]
    assert len(set(pairs.joined(["a", "b", "b", "c"], ["1", "1", "2", "3"]))) == 2


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_images_side_by_side_are_cut_in_half(home: Path, tmp_path: Path, direction: str) -> None:
    (tmp_path / "both").mkdir()
    for i in range(30):
        left = np.asarray(picture(i)) // 2
        Image.fromarray(np.concatenate([left, 255 - left], axis=1)).save(tmp_path / "both" / f"{i}.png")
    picture(7, (21, 20)).save(tmp_path / "both" / "odd.png")
    picture(8, (20, 20)).save(tmp_path / "both" / "one.png")
    card = add("mine", tmp_path / "both", home, side_by_side=direction, resolution=20)
    assert list(card.skipped.values()) == [2] and "side by side" in next(iter(card.skipped))
    assert_negatives(home / "data/mine", 30)
    brightness = open_split(home / "data/mine", "train").images[:].mean()
    assert brightness > 128 if direction == "AtoB" else brightness < 128


def two_domains(root: Path, counts: dict[str, int]) -> Path:
    for number, (folder, count) in enumerate(counts.items()):
        fill(root / folder, count, first=100 * number)
    return root


def test_two_domains_have_splits_of_their_own(home: Path, tmp_path: Path) -> None:
    sources = fill(tmp_path / "horses", 50, first=100, mode="L")
    zebras = fill(tmp_path / "zebras", 30)
    for folder, name in ((zebras, "a.md"), (sources, "b.md")):
        (folder / name).write_text("about")
    card = add("mine", zebras, home, sources=sources, unpaired=True)
    assert card.options["ignored_files"] == 2 and card.options["ignored_names"] == ["a.md", "b.md"]
    assert card.sources is not None and not card.sources.are_paired and card.sources.channels == 1
    assert card.counts == {"train": 14, "validation": 8, "test": 8}
    assert card.sources.counts == {"train": 32, "validation": 8, "test": 10}
    split = open_split(home / "data/mine", "test", sources=True)
    assert split.sources is not None and (len(split), len(split.sources)) == (8, 10)


def test_the_layout_of_domains_is_unpaired_or_paired(home: Path, tmp_path: Path) -> None:
    counts = {"trainA": 20, "trainB": 30, "testA": 9, "testB": 8}
    card = add("mine", two_domains(tmp_path / "f", counts), home, unpaired=True)
    assert card.labels is None and card.sources is not None
    assert card.counts == {"train": 22, "validation": 8, "test": 8}
    assert card.sources.counts == {"train": 12, "validation": 8, "test": 9}
    with pytest.raises(InputError, match=r"38 images without a source \(test/300, .*unpaired"):
        add("mine", tmp_path / "f", home, replace=True)
    root = tmp_path / "pairs"
    for split in ("train", "test"):
        fill(root / f"{split}B", 20, first=20 if split == "test" else 0)
        negatives(root / f"{split}B", root / f"{split}A")
    assert add("pairs", root, home, resolution=20).options["pairs"] == "by name"
    assert_negatives(home / "data/pairs", 40)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"trainA": 20, "testA": 5}, "domain B of .*f is empty: put images into trainB and testB"),
        ({"trainB": 20, "testB": 5}, "domain A of .*f is empty"),
        ({"images": 20}, "f has no sources: pass --sources FOLDER"),
        (
            {"trainA": 20, "trainB": 3, "testA": 9, "testB": 0},
            "too few images: 0 train, 0 validation, 3 test",
        ),
    ],
)
def test_an_empty_domain_is_refused(
    home: Path, tmp_path: Path, counts: dict[str, int], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        add("mine", two_domains(tmp_path / "f", counts), home, unpaired=True)


def test_a_folder_of_sources_without_images_is_refused(home: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no images"):
        add("mine", images, home, sources=tmp_path / "empty")


@pytest.mark.parametrize(
    "options",
    [
        {"side_by_side": "left"},
        {"side_by_side": "AtoB", "unpaired": True},
        {"source_resolution": 1},
        {"source_resolution": 8},
    ],
)
def test_options_that_do_not_fit_are_refused(home: Path, images: Path, options: dict) -> None:
    with pytest.raises(InputError):
        add("mine", images, home, **options)
