"""Folders as people have them: nothing is lost or read as another data set without a word."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from components.common.errors import InputError
from components.data.card import SPLITS, DatasetCard
from components.data.dataset import open_split
from components.data.external import scan_images
from components.data.sources.prepare import add
from components.data.versioning import pins
from tests.data.pictures import fill, picture
from tests.data.sources.messy import HEIC, deep, entries, messy, pages, wordy


def unused(card: DatasetCard) -> int:
    """The number of files that the card counts as unused."""
    return sum(card.skipped.values()) + sum(card.left_out.values()) + card.options["ignored_files"]


def used(card: DatasetCard) -> int:
    return sum(card.counts.values())


def brightest(home: Path) -> int:
    return max(int(open_split(home / "data/mine", split).images[:].max()) for split in SPLITS)


def classes(root: Path, splits: tuple[str, ...], each: int = 12) -> Path:
    """Two classes in each split."""
    for number, (split, name) in enumerate((s, n) for s in splits for n in ("cat", "dog")):
        fill(root / split / name, each, first=each * number)
    return root


def test_all_at_once(home: Path, tmp_path: Path) -> None:
    root = messy(tmp_path)
    for _ in range(2):  # again from the same source
        card = add("mine", root, home, follow_links=True, resolution=20)
    assert card.labels == ["cat", "dog", "eel"] and card.captions
    assert card.counts == {"train": 52, "validation": 8, "test": 30}
    assert card.skipped == {
        "damaged or truncated": 1,
        "HEIC is not supported: save it as 8- or 16-bit PNG": 1,
    }
    assert card.left_out == {
        "hidden": 1,
        "in a folder of unlabelled images beside splits": 5,
        "link to a folder around it": 1,
    }
    assert used(card) + unused(card) == entries(root) and card.unmatched_captions == 3
    assert card.notes == [
        "read inside archive/",
        "folders read as splits: Test is test, Train is train; validation cut from the others",
        "1 files hold more than one picture, 5 in all: the first of each is read; --frames all reads all",
    ]
    train, test = (open_split(home / "data/mine", split) for split in ("train", "test"))
    assert {len(texts) for texts in train.all_captions or []} == {2}
    assert sorted(test.captions or [])[0] == "test 100"
    with pytest.raises(
        InputError, match=r"lead out of it: 2 to folders, with 40 files, and 0 to files; pass"
    ):
        add("mine", root, home)


@pytest.mark.parametrize(
    ("folders", "counts"),
    [
        (("train", "val"), {"train": 16, "validation": 24, "test": 8}),
        (("Training", "TEST"), {"train": 16, "validation": 8, "test": 24}),
        (("train", "dev", "testing"), {"train": 24, "validation": 24, "test": 24}),
        (("eval", "test"), {"train": 16, "validation": 8, "test": 24}),
        (("train", "test", "unlabeled"), {"train": 16, "validation": 8, "test": 24}),
        (("train",), {"train": 8, "validation": 8, "test": 8}),
        (("a", "b"), {"train": 30, "validation": 8, "test": 10}),
        (("seg_train", "seg_test"), {"train": 16, "validation": 8, "test": 24}),
        (("train2017", "val2017", "unlabeled2017"), {"train": 16, "validation": 24, "test": 8}),
    ],
)
def test_folders_of_splits(
    home: Path, tmp_path: Path, folders: tuple[str, ...], counts: dict[str, int]
) -> None:
    root = classes(tmp_path / "f", folders)
    card = add("mine", root, home)
    assert card.counts == counts
    assert card.labels == (["a", "b"] if "a" in folders else ["cat", "dog"])
    assert used(card) + unused(card) == entries(root)
    wrapped = tmp_path / "g" / "archive"
    wrapped.parent.mkdir()
    root.rename(wrapped)
    again = add("mine", wrapped.parent, home, replace=True)
    assert (again.files, again.left_out) == (card.files, card.left_out)
    assert "read inside archive/" in again.notes or len(folders) == 1


def test_splits_below_classes_are_splits(home: Path, tmp_path: Path) -> None:
    for number, folder in enumerate(("cat/train", "dog/train", "cat/test", "dog/test")):
        fill(tmp_path / "f" / folder, 12, first=12 * number)
    card = add("mine", tmp_path / "f", home)
    assert card.labels == ["cat", "dog"] and card.counts == {"train": 16, "validation": 8, "test": 24}


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (("train", "cat", "dog"), "f: train is called like a split, cat, dog not; rename"),
        (("trainA", "cat", "dog"), "trainA is a split of one of two domains"),
        (
            ("seg_train", "seg_test", "seg_pred"),
            "seg_test, seg_train is called like a split, seg_pred not; rename",
        ),
        (("cat/train", "cat/test", "cat/truth", "dog/train"), "test, train below other folders is called"),
        (("a/b/train", "c/d/test"), "below other folders"),
        (
            ("images", "padded_images"),
            "f: images beside padded_images is probably no class; pass --layout none",
        ),
        (("train/a", "train/b", "val/images"), "images beside a, b is probably no class"),
        (
            ("00000", "01000"),
            "00000, 01000 are probably no classes, since the numbers of their files continue",
        ),
    ],
)
def test_what_is_not_certain_is_asked(
    home: Path, tmp_path: Path, folders: tuple[str, ...], sentence: str
) -> None:
    for number, folder in enumerate(folders):
        fill(tmp_path / "f" / folder, 12, first=12 * number)
    with pytest.raises(InputError, match=sentence):
        add("mine", tmp_path / "f", home)
    card = add("mine", tmp_path / "f", home, layout="classes")
    assert used(card) == 12 * len(folders) and card.options["layout"] == "classes"


def test_the_answer_may_be_that_only_some_folders_are_splits(home: Path, tmp_path: Path) -> None:
    root = classes(tmp_path / "f", ("train", "test", "thumbnails"))
    card = add("mine", root, home, layout="splits")
    assert card.left_out == {"outside the folders of splits": 24} and used(card) + unused(card) == 72


def test_unlabelled_test_images_beside_classes_are_asked_about(home: Path, tmp_path: Path) -> None:
    fill(classes(tmp_path / "f", ("train",)) / "test", 10, first=90)
    with pytest.raises(InputError, match=r"10 images in no subfolder \(in test\) and 24 in subfolders"):
        add("mine", tmp_path / "f", home)


def test_links_within_the_folder_are_followed_and_circles_end(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "f"
    fill(root / "cat", 12)
    fill(root / "dog/all", 12, first=12)
    (root / "eel").symlink_to(root / "dog")
    (root / "cat/root").symlink_to(root)
    (root / "dog/all/me").symlink_to(root / "dog/all/me")
    card = add("mine", root, home)
    assert card.labels == ["cat", "dog", "eel"] and used(card) == 36
    assert card.left_out == {"link to a folder around it": 1, "link to nothing": 2}
    assert used(card) + unused(card) == entries(root)


def test_links_to_nothing_are_not_said_to_lead_out(home: Path, images: Path, tmp_path: Path) -> None:
    (images / "lost.png").symlink_to(tmp_path / "gone" / "lost.png")
    assert add("mine", images, home).skipped == {"link to nothing": 1}


def test_links_to_files_outside_are_counted_or_followed(home: Path, tmp_path: Path) -> None:
    fill(tmp_path / "store", 30)
    (tmp_path / "f").mkdir()
    for path in (tmp_path / "store").iterdir():
        (tmp_path / "f" / path.name).symlink_to(path)
    with pytest.raises(InputError, match="0 to folders, with 0 files, and 30 to files"):
        add("mine", tmp_path / "f", home)
    assert used(add("mine", tmp_path / "f", home, follow_links=True)) == 30


def test_a_files_first_bytes_say_what_it_is(home: Path, images: Path) -> None:
    for number, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")):
        for name in ("plain", "x.png.1", "x.jpg_large", "x.heic"):
            picture(100 + 5 * number + len(name)).save(images / f"{kind}{name}", kind)
    (images / "BM tricks.txt").write_text("BM is a name, P5 too")
    (images / "photo.jpg").write_bytes(HEIC)
    (images / "page.jpg").write_text("<!DOCTYPE html><title>404</title>")
    (images / "large.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    card = add("mine", images, home)
    assert used(card) == 30 + 28 and card.options["ignored_files"] == 1
    assert sorted(card.skipped) == [
        "HEIC is not supported: save it as 8- or 16-bit PNG",
        "a Git LFS pointer instead of an image: run `git lfs pull`",
        "a web page instead of an image",
    ]


def test_other_forms_of_images_beside_them_are_left_out(home: Path, images: Path) -> None:
    for path in sorted(images.glob("*.png")):
        np.savez(path.with_suffix(".npz"), latents=np.zeros(2))  # as trainers keep them
    picture(0).save(images / "000.DNG", "TIFF")  # begins with a TIFF of a preview
    picture(1).save(images / "alone.nef", "TIFF")
    card = add("mine", images, home)
    assert used(card) == 30 and card.left_out == {"another form of an image beside it": 31}
    assert card.skipped == {".nef is not supported: save it as 8- or 16-bit PNG": 1}
    assert used(card) + unused(card) == entries(images)


def test_metadata_never_decides(home: Path, images: Path, tmp_path: Path) -> None:
    wordy(images / "wordy.png", 90)
    info = PngInfo()
    info.add(b"iCCP", b"nonsense")
    picture(91).save(images / "profile.png", pnginfo=info)
    data = bytearray((images / "000.png").read_bytes())
    (images / "crc.png").write_bytes(data[:33] + b"\0\0\0\x01tEXtx\0\0\0\0" + data[33:])
    card = add("mine", images, home, resolution=20)
    assert used(card) == 33 and not card.skipped
    assert len(scan_images(images, card, tmp_path / "scratch").paths) == 33


def test_dark_pictures_are_told_and_white_makes_them_bright(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "f"
    root.mkdir()
    for i in range(24):
        deep(root / f"{i}.png", i)
    card = add("mine", root, home, resolution=20)
    assert brightest(home) == 16 and len(card.notes) == 1
    assert "brightest value is 16 of 255; pass --white auto, or --white VALUE" in card.notes[0]
    for white in ("auto", 4095):
        card = add("mine", root, home, resolution=20, white=white)
        assert brightest(home) == 255 and card.options["white"] == 4095 and not card.notes
    card = add("mine", root, home, resolution=20, white=65535)
    assert brightest(home) == 16, "what was asked for"
    with pytest.raises(InputError, match=r"24 of 24 images .* integer values outside 0..4000"):
        add("mine", root, home, white=4000)
    with pytest.raises(InputError, match="no grey image of more than 8 bits"):
        add("mine", fill(tmp_path / "eight", 24), home, white="auto", replace=True)


def test_dark_colours_of_16_bits_are_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for i in range(24):
        lines = np.random.default_rng(i).integers(0, 4096, (20, 60)).astype(">u2")
        pixels = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
        header = (20).to_bytes(4, "big") * 2 + bytes((16, 2, 0, 0, 0))
        chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
        data = [len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in chunks]
        (tmp_path / f"f/{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))
    note = add("mine", tmp_path / "f", home, resolution=20).notes[0]
    assert note.endswith(
        "is 15 of 255; of colours with 16 bits the upper 8 are read, whatever --white says: scale them first"
    )


@pytest.mark.parametrize("white", [0, -1, float("nan"), "bright"])
def test_values_that_cannot_be_white_are_refused(home: Path, images: Path, white: float | str) -> None:
    with pytest.raises(InputError, match="accepted: auto, or a number above 0"):
        add("mine", images, home, white=white)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP"])
def test_all_pictures_of_a_file_are_in_one_split(home: Path, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "f"
    root.mkdir()
    for i in range(40):
        pages(root / f"{i}.{kind.lower()}", 3 * i, count=3, kind=kind)
    card = add("mine", root, home)
    assert used(card) == 40 and "40 files hold more than one picture, 120 in all" in card.notes[0]
    card = add("mine", root, home, frames="all")
    assert card.counts == {"train": 72, "validation": 24, "test": 24} and not card.notes


def test_smaller_copies_in_a_tiff_are_not_pictures(home: Path, images: Path) -> None:
    reduced = picture(50, (10, 10))
    reduced.encoderinfo = {"tiffinfo": {254: 1}}
    picture(50).save(images / "pyramid.tiff", save_all=True, append_images=[reduced])
    assert not add("mine", images, home).notes


def test_names_that_are_not_utf_8_or_end_in_blanks_are_added_again(home: Path, tmp_path: Path) -> None:
    for name in (b"x\xff", b"x ", b"x\r"):
        root = fill(tmp_path / os.fsdecode(name), 24)
        assert used(add("mine", root, home, replace=True)) == used(add("mine", root, home)) == 24
    with pytest.raises(InputError, match="already exists, from .*x\ufffd: choose"):
        add("mine", tmp_path, home)


def test_captions_of_all_kinds_are_kept_and_counted(home: Path, images: Path) -> None:
    names = [path.name for path in sorted(images.iterdir())]
    rows = [{"file_name": name, "text": f"{name} {i}"} for name in names for i in range(5)]
    rows += [{"file_name": "gone.png", "text": "x"}, {"file_name": "./000.png", "text": ["a", "b"]}]
    (images / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = add("mine", images, home)
    lists = [texts for split in SPLITS for texts in open_split(home / "data/mine", split).all_captions or []]
    assert sorted(map(len, lists)) == [5] * 29 + [7] and card.unmatched_captions == 1


def test_texts_beside_images_are_captions_if_most_images_have_one(home: Path, images: Path) -> None:
    paths = sorted(images.glob("*.png"))
    for path in paths:
        path.with_suffix(".txt").write_text(f"one {path.stem}\n\ntwo\n")
    card = add("mine", images, home)
    assert card.captions and not card.skipped
    for path in paths:
        path.with_suffix(".txt").write_text("0 0.5 0.5 0.1 0.1\n")
    card = add("mine", images, home)
    assert not card.captions and "30 texts beside images are not read as captions" in card.notes[0]


def test_captions_name_images_as_other_systems_write_them(home: Path, tmp_path: Path) -> None:
    root = fill(tmp_path / "f" / "caf\u00e9", 24)
    rows = "".join(f"cafe\u0301\\{i:03d}.png,text {i}\n" for i in range(24))
    (root.parent / "captions.csv").write_text(f"file_name,text\n{rows}", "utf-8")
    card = add("mine", root.parent, home)
    assert card.captions and not card.skipped and not card.unmatched_captions
    assert not add("mine", root.parent, home, captions="none").captions


def test_large_pictures_of_16_bits_are_scaled_as_small_ones(home: Path, tmp_path: Path) -> None:
    from components.data.sources import images as reading

    values = np.random.default_rng(0).integers(0, 65536, (50, 40)).astype(np.uint16)
    whole = np.asarray(reading.eight_bit(Image.fromarray(values)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "STRIP", 130)
        assert np.array_equal(np.asarray(reading.eight_bit(Image.fromarray(values))), whole)
    assert np.array_equal(whole, np.round(values * (255 / 65535)))


def test_a_folder_without_surprises_has_a_card_without_words(home: Path, images: Path) -> None:
    text = add("mine", images, home).to_json()
    assert not any(word in text for word in ("left_out", "notes", "unmatched", "layout", "frames"))


def test_every_file_of_pairs_and_of_domains_is_counted(home: Path, images: Path, tmp_path: Path) -> None:
    sources = fill(tmp_path / "sources", 30, first=50)
    for path in sorted(sources.iterdir()):
        path.rename(sources / f"{int(path.stem) - 50:03d}.png")
    (images / "000.png").write_bytes(b"")
    (sources / "001.png").write_text("x")
    (sources / "002.png").unlink()
    (sources / "002.heic").write_bytes(HEIC)
    (sources / "notes.txt").write_text("x")
    (images / ".hidden").write_text("x")
    card = add("mine", images, home, sources=sources)
    assert used(card) == 27 and card.left_out == {"hidden": 1, "partner of a file that is not used": 3}
    assert 2 * used(card) + unused(card) == entries(images) + entries(sources)
    root = tmp_path / "domains"
    for number, name in enumerate(("trainA", "Train_B", "testA", "testB")):
        fill(root / "w" / name, 12 + 6 * (number < 2), first=20 * number)
    (root / "w" / "x.heic").write_bytes(HEIC)
    card = add("two", root, home, unpaired=True)
    assert card.sources is not None and card.counts == card.sources.counts
    assert used(card) + sum(card.sources.counts.values()) + unused(card) == entries(root)


def test_files_of_a_url_are_told_by_their_first_bytes_too(home: Path, images: Path) -> None:
    remote = fsspec.filesystem("memory")
    for number, path in enumerate(sorted(images.iterdir())):
        remote.pipe_file(f"/bucket/w/{path.stem}{'' if number % 2 else '.png'}", path.read_bytes())
    for name, content in (
        ("notes.bin", b"x"),
        (".hidden", b"x"),
        ("phone", HEIC),
        ("000.txt", b"a word"),
        ("[hd].png", b"x"),
    ):
        remote.pipe_file(f"/bucket/w/{name}", content)
    try:
        card = add("far", "memory://bucket", home)
    finally:
        remote.rm("/bucket", recursive=True)
    assert used(card) == 30 and used(card) + unused(card) == 35
    assert "its name has * ? [ ] # or the like, which URLs cannot have: rename it" in card.skipped
    assert "1 texts beside images are not read as captions" in card.notes[0]
    for path in sorted(images.iterdir())[1::2]:
        path.rename(path.with_suffix(""))
    assert add("near", images, home).files == card.files


def test_the_version_of_a_plain_folder_stays(home: Path, tmp_path: Path) -> None:
    add("mine", fill(tmp_path / "images", 100), home, resolution=20)
    assert pins.folder_md5(home / "data/mine") == "08e7d0799d1b415b9e582f9678fc8dfa.dir"
