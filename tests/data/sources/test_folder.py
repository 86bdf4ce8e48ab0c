import json
import os
import shutil

import fsspec
import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.data.dataset import open_split
from components.data.sources.prepare import add
from tests.data.pictures import contents, fill, picture
from tests.data.sources.test_images import bomb


def everything(folder) -> np.ndarray:
    """All images of a prepared set."""
    return np.concatenate([open_split(folder, split).images[:] for split in ("train", "validation", "test")])


def test_a_plain_folder_becomes_an_unlabelled_set(home, images):
    card = add("mine", images, home)
    assert card.counts == {"train": 14, "validation": 8, "test": 8}
    assert (card.resolution, card.channels, card.labels, card.captions) == (32, 3, None, False)
    assert card.card.num_classes == 0 and card.title == "images" and str(home) not in card.to_json()
    assert len({image.tobytes() for image in everything(home / "data/mine")}) == 30


def test_subfolders_are_classes(home, tmp_path):
    for i, name in enumerate(["cat", "dog", "eel"]):
        fill(tmp_path / "zoo" / name / "deeper", 10, first=10 * i)
    card = add("zoo", tmp_path / "zoo", home)
    assert card.labels == ["cat", "dog", "eel"] and card.card.num_classes == 3
    assert card.label_counts["test"] == [3, 3, 2]
    labels = open_split(home / "data/zoo", "train").labels
    assert labels.dtype == np.int64 and np.bincount(labels).tolist() == card.label_counts["train"]


def test_one_subfolder_is_no_class(home, tmp_path):
    fill(tmp_path / "all" / "images", 24)
    assert add("all", tmp_path / "all", home).labels is None


def test_images_beside_class_folders_are_refused(home, images):
    fill(images / "cat", 5, first=100)
    with pytest.raises(InputError, match="30 images in no subfolder and 5 in subfolders"):
        add("mine", images, home)


def test_split_folders_are_splits_and_not_classes(home, tmp_path):
    root = tmp_path / "zoo"
    for split, first in (("train", 0), ("test", 50)):
        for i, name in enumerate(["cat", "dog"]):
            fill(root / split / name, 20, first=first + 20 * i)
    picture(0).save(root / "test" / "cat" / "a copy of a training image.png")
    card = add("zoo", root, home)
    assert card.labels == ["cat", "dog"]
    assert card.counts == {"train": 31, "validation": 8, "test": 42}, "the copy took its twin along to test"


def test_an_image_beside_split_folders_is_refused(home, tmp_path):
    fill(tmp_path / "zoo" / "train", 10)
    fill(tmp_path / "zoo" / "test", 10, first=10)
    fill(tmp_path / "zoo", 1, first=30)
    with pytest.raises(InputError, match="1 images in no subfolder and 20 in subfolders"):
        add("zoo", tmp_path / "zoo", home)


def test_a_captions_file_gives_captions(home, images):
    names = {path.name: f"picture <b>{path.stem}</b>" for path in images.iterdir()}
    (images / "captions.json").write_text(json.dumps(names))
    card = add("mine", images, home)
    assert card.captions and not card.skipped
    split = open_split(home / "data/mine", "test")
    assert len(split.captions) == len(split) and split.captions[0].startswith("picture <b>")


def test_images_without_a_caption_are_skipped_and_listed(home, images, tmp_path):
    names = {path.name: "x" for path in sorted(images.iterdir())[:25]}
    (tmp_path / "c.json").write_text(json.dumps(names))
    card = add("mine", images, home, captions=tmp_path / "c.json")
    assert card.skipped == {"no caption": 5} and ("029.png", "no caption") in card.skipped_files


def test_the_resolution_follows_the_median_image(home, tmp_path):
    assert add("small", fill(tmp_path / "a", 24, size=(30, 40)), home).resolution == 32
    assert add("large", fill(tmp_path / "b", 24, size=(300, 200)), home).resolution == 64
    assert add("asked", fill(tmp_path / "c", 24), home, resolution=16).resolution == 16


def test_colour_by_choice_and_by_what_is_there(home, tmp_path):
    grey = fill(tmp_path / "grey", 24, mode="L")
    colour = fill(tmp_path / "colour", 24)
    assert add("a", grey, home).channels == 1
    assert add("b", grey, home, colour="rgb").channels == 3
    assert add("c", colour, home).channels == 3
    assert add("d", colour, home, colour="grey").channels == 1


def test_copies_of_an_image_share_a_split(home, tmp_path):
    root = fill(tmp_path / "images", 20)
    for i in range(20):
        shutil.copy(root / f"{i:03d}.png", root / f"copy of {i:03d}.png")
    add("mine", root, home)
    parts = [
        {im.tobytes() for im in open_split(home / "data/mine", s).images[:]}
        for s in ("train", "validation", "test")
    ]
    assert (
        sum(map(len, parts)) == 20
        and not parts[0] & parts[1]
        and not parts[0] & parts[2]
        and not parts[1] & parts[2]
    )


def test_the_bytes_depend_on_neither_workers_nor_names_nor_place(home, images, tmp_path):
    add("mine", images, home, workers=1)
    first = contents(home / "data" / "mine")
    add("mine", images, home, workers=7)
    assert contents(home / "data" / "mine") == first
    moved = tmp_path / "elsewhere" / "images"
    moved.mkdir(parents=True)
    for i, path in enumerate(sorted(images.iterdir())):
        shutil.copy(path, moved / f"{97 * i % 31:02d}.png")
    add("mine", moved, home, replace=True)
    assert contents(home / "data" / "mine") == first


def spoil(root) -> None:
    """One file of every bad kind."""
    (root / "empty.png").write_bytes(b"")
    (root / "text.jpg").write_text("not an image")
    (root / "cut.png").write_bytes((root / "000.png").read_bytes()[:300])
    (root / "bomb.png").write_bytes(bomb())
    (root / "array.npy").write_bytes(b"\x93NUMPY")
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(root / "nan.tiff")
    (root / "nowhere.png").symlink_to(root / "missing")
    os.mkfifo(root / "pipe.png")


def test_every_bad_file_is_skipped_counted_and_listed(home, images):
    spoil(images)
    (images / "README.txt").write_text("hello")
    (images / ".hidden.png").write_bytes(b"")
    (images / "link inside.png").symlink_to(images / "001.png")
    card = add("mine", images, home)
    assert sum(card.counts.values()) == 31
    assert card.skipped == {
        ".npy is not supported: save it as 8- or 16-bit PNG": 1,
        "damaged or truncated": 1,
        "empty file": 1,
        "link to nothing": 1,
        "more than 89,478,485 pixels": 1,
        "not a regular file": 1,
        "not an image of a known format (PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM)": 1,
        "values that are not finite (NaN or infinity)": 1,
    }
    assert ("bomb.png", "more than 89,478,485 pixels") in card.skipped_files
    assert card.options["ignored_files"] == 1 and card.left_out == {"hidden": 1}
    assert len(card.options["ignored_names"]) == 1


def test_too_many_bad_files_are_refused_and_leave_nothing(home, images):
    spoil(images)
    with pytest.raises(
        InputError, match=r"8 of 38 images .* more than the 7 allowed \(max_skipped\); such as .*: "
    ):
        add("mine", images, home, max_skipped=7)
    assert list((home / "data").iterdir()) == []


def test_one_per_cent_or_ten_files_may_be_bad(home, tmp_path):
    root = fill(tmp_path / "images", 30)
    for i in range(11):
        (root / f"bad{i}.png").write_bytes(b"x")
    with pytest.raises(InputError, match="11 of 41 images .* more than the 10 allowed"):
        add("mine", root, home)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "holds no images"),
        ({"a.txt": b"x"}, r"holds no images \(1 other files\); accepted: .bmp"),
        ({"a.png": b"x"}, "1 of 1 images .* cannot be used; such as a.png: not an image"),
        ({"a.npy": b"x"}, "npy is not supported"),
    ],
)
def test_a_folder_without_a_usable_image_is_refused(home, tmp_path, content, sentence):
    (tmp_path / "f").mkdir()
    for name, data in content.items():
        (tmp_path / "f" / name).write_bytes(data)
    with pytest.raises(InputError, match=sentence):
        add("mine", tmp_path / "f", home)


def test_too_few_images_are_refused(home, tmp_path):
    with pytest.raises(
        InputError, match="0 train, 0 validation, 5 test; evaluation needs at least 8 .* so 19 are missing"
    ):
        add("mine", fill(tmp_path / "f", 5), home)


@pytest.mark.parametrize(("source", "sentence"), [("missing", "does not exist"), ("file.zip", "is a file")])
def test_a_source_that_is_no_folder_is_refused(home, tmp_path, source, sentence):
    (tmp_path / "file.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=sentence):
        add("mine", tmp_path / source, home)


@pytest.mark.parametrize("name", ["", "Mine", "../x", "a/b", ".x", "a\n", "a b", "mnist5k"])
def test_names_that_cannot_be_are_refused(home, images, name):
    with pytest.raises(InputError, match="name"):
        add(name, images, home)
    assert not (home / "data").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"colour": "sepia"},
        {"background": "wihte"},
        {"resolution": 4},
        {"resolution": 5000},
        {"max_skipped": -1},
    ],
)
def test_options_that_cannot_be_are_refused(home, images, options):
    with pytest.raises(InputError):
        add("mine", images, home, **options)


def test_strange_names_are_stored_clean_and_unescaped(home, tmp_path):
    root = tmp_path / "zoo"
    fill(root / "<script>alert(1)</script>".replace("/", "\u2215"), 12)
    fill(root / "two\nlines\u202e\x1b[31m", 12, first=12)
    (root / "two\nlines\u202e\x1b[31m" / os.fsdecode(b"b\xff\n.png")).write_bytes(b"x")
    card = add("zoo", root, home)
    assert card.labels == ["<script>alert(1)<\u2215script>", "two\ufffdlines\ufffd\ufffd[31m"]
    assert [name for name, _ in card.skipped_files] == ["two\ufffdlines\ufffd\ufffd[31m/b\ufffd\ufffd.png"]


def test_classes_that_differ_by_control_characters_only_are_refused(home, tmp_path):
    fill(tmp_path / "zoo" / "a\x01", 5)
    fill(tmp_path / "zoo" / "a\x02", 5, first=5)
    with pytest.raises(InputError, match="control characters"):
        add("zoo", tmp_path / "zoo", home)


def test_a_remote_folder_is_read_like_a_local_one(home, images):
    remote = fsspec.filesystem("memory")
    for path in images.iterdir():
        remote.pipe_file(f"/bucket/some/images/{path.name}", path.read_bytes())
    remote.pipe_file("/bucket/some/images/broken.png", b"x")
    try:
        card = add("far", "memory://bucket/some/images", home)
    finally:
        remote.rm("/bucket", recursive=True)
    add("near", images, home)
    assert (
        card.source == "memory://bucket/some/images"
        and sum(card.counts.values()) == 30
        and len(card.skipped) == 1
    )
    assert np.array_equal(everything(home / "data/far"), everything(home / "data/near"))


def test_an_empty_remote_folder_is_told(home):
    with pytest.raises(InputError, match="holds no images"):
        add("far", "memory://nothing/here", home)


def test_credentials_in_a_url_are_refused(home):
    with pytest.raises(InputError, match="credentials"):
        add("far", "s3://key:secret@bucket/images", home)


def test_a_class_without_a_readable_image_is_no_class(home, tmp_path):
    for i, name in enumerate(["cat", "dog"]):
        fill(tmp_path / "zoo" / name, 15, first=15 * i)
    (tmp_path / "zoo" / "broken").mkdir()
    (tmp_path / "zoo" / "broken" / "a.png").write_bytes(b"x")
    assert add("zoo", tmp_path / "zoo", home).labels == ["cat", "dog"]


def test_a_folder_of_archives_says_to_unpack_them(home, images, tmp_path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/00000.tar").touch()
    with pytest.raises(InputError, match=r"holds no images \(1 other files\); unpack 00000.tar first"):
        add("mine", tmp_path / "packed", home)
    (images / "more.tar.gz").touch()
    assert "not read, since they must be unpacked first: more.tar.gz" in add("mine", images, home).notes


def test_captions_of_other_images_are_told(home, images):
    (images / "captions.csv").write_text("file_name,text\nelsewhere/a.png,a cat\n")
    with pytest.raises(InputError, match=r"of other images than there are, such as elsewhere/a\.png: names"):
        add("mine", images, home)
    assert not add("mine", images, home, captions="none").captions


def test_copies_are_told_and_those_in_two_classes_too(home, tmp_path):
    for i, name in enumerate(["cat", "dog"]):
        fill(tmp_path / "zoo" / name, 20, first=20 * i)
    assert add("zoo", tmp_path / "zoo", home).notes == []
    shutil.copy(tmp_path / "zoo/cat/000.png", tmp_path / "zoo/cat/copy.png")
    shutil.copy(tmp_path / "zoo/cat/001.png", tmp_path / "zoo/dog/copy.png")
    assert add("zoo", tmp_path / "zoo", home).notes == [
        "2 files are copies, kept in the same split as the file that they copy: cat/copy.png of cat/000.png, "
        "dog/copy.png of cat/001.png",
        "1 image lies in several classes, kept in each (cat/001.png and dog/copy.png): "
        "remove all but one file of each",
    ]
