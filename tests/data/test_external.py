import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from components.common import parallel
from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.external import ExternalImages, read, scan_images
from components.data.sources.prepare import add
from tests.data.pictures import fill, picture


def card(resolution: int = 20, channels: int = 3, **options) -> DatasetCard:
    about = {"name": "mine", "title": "", "source": "", "licence": "", "credit": "", "counts": {}}
    return DatasetCard(**about, resolution=resolution, channels=channels, **options)


def everything(outside, card) -> np.ndarray:
    return read(outside, range(len(outside.paths)), card)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def test_images_of_the_right_size_are_taken_as_they_are(tmp_path):
    root = fill(tmp_path / "made", 5)
    outside = scan_images(root, card(), tmp_path / "scratch")
    assert (outside.root, outside.preparation, outside.resized) == (root, "as they are", 0)
    assert outside.paths == [f"{i:03d}.png" for i in range(5)] and outside.labels is None
    images = everything(outside, card())
    assert images.dtype == np.uint8
    assert np.array_equal(images, np.stack([pixels(picture(i)) for i in range(5)]))


def test_others_are_prepared_as_the_data_set_was(tmp_path):
    home, root = tmp_path / "home", fill(tmp_path / "made", 30, size=(50, 40))
    home.mkdir()
    data_card = add("mine", root, home, resolution=16)
    outside = scan_images(root, data_card, tmp_path / "scratch")
    assert (outside.preparation, outside.resized) == ("centre square, resized with Lanczos", 30)
    splits = [open_split(home / "data/mine", split).images[:] for split in ("train", "validation", "test")]
    ours = {image.tobytes() for image in everything(outside, data_card)}
    assert ours == {image.tobytes() for image in np.concatenate(splits)}


def test_one_of_another_size_is_counted(tmp_path):
    root = fill(fill(tmp_path / "made", 3), 1, first=3, size=(21, 20))
    outside = scan_images(root, card(), tmp_path / "scratch")
    assert (outside.preparation, outside.resized) == ("centre square, resized with Lanczos", 1)
    assert np.array_equal(read(outside, [3], card())[0], pixels(picture(3, size=(21, 20)))[:, :, :20])


def test_transparency_is_laid_on_the_background_of_the_data_set(tmp_path):
    (tmp_path / "made").mkdir()
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "made" / "a.png")
    outside = scan_images(tmp_path / "made", card(), tmp_path / "scratch")
    assert read(outside, [0], card(background="#0a141e"))[0, :, 0, 0].tolist() == [10, 20, 30]
    assert read(outside, [0], card())[0, :, 0, 0].tolist() == [255, 255, 255], "white where it states none"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"format": "JPEG"}),
        ("a.png", {"format": "JPEG"}),
        ("a.jpg", {"format": "MPO", "save_all": True, "append_images": [picture(8)]}),
    ],
    ids=["jpeg", "jpeg called png", "several in one file"],
)
def test_jpeg_is_noted_by_contents(tmp_path, name, options):
    root = fill(tmp_path / "made", 2)
    picture(9).save(root / name, **options)
    assert scan_images(root, card(), tmp_path / "scratch").preparation == "as they are, from JPEG"
    assert scan_images(root, card(8), tmp_path / "scratch").preparation.endswith("Lanczos, from JPEG")


def test_only_the_rows_asked_for_are_read(tmp_path):
    root = fill(tmp_path / "made", 5)
    outside = scan_images(root, card(), tmp_path / "scratch")
    (root / "002.png").unlink()
    images = read(outside, [4, 0], card())
    assert np.array_equal(images, np.stack([pixels(picture(4)), pixels(picture(0))]))
    with pytest.raises(InputError, match="image 002.png cannot be used any more: cannot be read"):
        read(outside, range(5), card())


def test_images_that_cannot_be_used_are_left_out_and_named(tmp_path):
    root = fill(tmp_path / "made", 5, size=(64, 64))
    (root / "001.png").write_bytes((root / "001.png").read_bytes()[:300])
    (root / "text.png").write_text("not an image")
    (root / "array.npy").write_bytes(b"\x93NUMPY")
    (root / "README.txt").write_text("hello")
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(root / "nan.tiff")
    outside = scan_images(root, card(), tmp_path / "scratch")
    assert (
        outside.paths == ["000.png", "002.png", "003.png", "004.png"]
        and len(everything(outside, card())) == 4
    )
    assert sorted(file for file, _ in outside.skipped) == ["001.png", "array.npy", "nan.tiff", "text.png"]
    assert outside.notice.startswith("left out 4 of 8 images, which cannot be used: ")
    for words in ("001.png: damaged or truncated", "nan.tiff: values that are not finite (NaN"):
        assert words in outside.notice
    assert (
        outside.part(0, 2).skipped == []
        and scan_images(fill(tmp_path / "whole", 2), card(), tmp_path).notice == ""
    )


def test_too_many_that_cannot_be_used_are_refused_as_in_added_data(tmp_path):
    root = fill(tmp_path / "made", 3)
    for i in range(11):
        (root / f"text{i}.png").write_text("not an image")
    sentence = (
        r"11 of 14 images in .*made cannot be used, more than the 10 allowed .*; such as text0.png: not an"
    )
    with pytest.raises(InputError, match=sentence):
        scan_images(root, card(), tmp_path / "scratch")
    for i in range(3):
        (root / f"{i:03d}.png").unlink()
    (root / "text10.png").unlink()
    with pytest.raises(InputError, match="10 of 10 images in .*made cannot be used; such as"):
        scan_images(root, card(), tmp_path / "scratch")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("missing", "missing does not exist: give a folder or a URL"),
        ("file.zip", "is a file: give a folder"),
        ("empty", r"empty holds no images \(1 other files\); accepted: .bmp"),
    ],
)
def test_a_source_without_images_is_refused(tmp_path, source, sentence):
    (tmp_path / "file.zip").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("x")
    with pytest.raises(InputError, match=sentence):
        scan_images(tmp_path / source, card(), tmp_path / "scratch")


def test_grey_data_takes_equal_channels_and_refuses_colour(tmp_path):
    root = fill(tmp_path / "made", 2, mode="L")
    picture(1, mode="L").convert("RGB").save(root / "001.png")
    outside = scan_images(root, card(channels=1), tmp_path / "scratch")
    grey = np.stack([np.asarray(picture(i, mode="L"))[None] for i in range(2)])
    assert np.array_equal(everything(outside, card(channels=1)), grey)
    picture(1).save(root / "001.png")
    with pytest.raises(InputError, match="image 001.png is in colour and data set mine is grey: convert"):
        everything(outside, card(channels=1))


def test_grey_images_are_repeated_for_a_data_set_in_colour(tmp_path):
    outside = scan_images(fill(tmp_path / "made", 1, mode="L"), card(), tmp_path / "scratch")
    assert np.array_equal(everything(outside, card())[0], pixels(picture(0, mode="L")))


def zoo(root, *names):
    for i, name in enumerate(names):
        fill(root / name, 2, first=2 * i)
    return root


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("eel", "cat"), [0, 0, 1, 1]),  # as on the card, not in order of names
        (("cat", "test/eel/deep"), [0, 0, 1, 1]),  # any folder above, so that splits do not matter
        (("0", "1"), [0, 0, 1, 1]),
        (("1", "1/cat"), [1, 1, 1, 1]),  # the outermost counts
        (("cat", "dog"), None),
        (("cat", "1"), None),  # either names or numbers
        (("cat", "."), None),
        (("0", "2"), None),  # no such class
    ],
)
def test_folders_named_as_classes_are_labels(tmp_path, names, labels):
    outside = scan_images(zoo(tmp_path / "made", *names), card(labels=["cat", "eel"]), tmp_path / "scratch")
    assert outside.labels is None if labels is None else outside.labels.tolist() == labels
    assert labels is None or outside.labels.dtype == np.int64


def test_names_come_before_numbers(tmp_path):
    outside = scan_images(
        zoo(tmp_path / "made", "1", "2"), card(labels=["2", "1", "0"]), tmp_path / "scratch"
    )
    assert outside.labels.tolist() == [1, 1, 0, 0]
    others = card(labels=["1", "10", "2"])  # the folder 0 is none of these, though there is a first class
    assert scan_images(zoo(tmp_path / "other", "0", "2"), others, tmp_path / "scratch").labels is None


def test_a_file_of_several_pictures_is_left_out(tmp_path):
    root = fill(tmp_path / "made", 3)
    picture(9).save(root / "stack.tif", save_all=True, append_images=[picture(10), picture(11)])
    outside = scan_images(root, card(), tmp_path / "scratch")
    assert outside.notice.endswith(
        "1 of 4 images, which cannot be used: stack.tif: several pictures in one file: save each as a file"
    )


def test_names_are_compared_as_the_card_stores_them(tmp_path):
    outside = scan_images(zoo(tmp_path / "made", "a\nb"), card(labels=["a\ufffdb"]), tmp_path / "scratch")
    assert outside.labels.tolist() == [0, 0]


def test_paths_are_sorted_whatever_the_folders(tmp_path):
    root = zoo(tmp_path / "made", "b", "a")
    picture(9).save(root / "aa.png")
    paths = ["a/002.png", "a/003.png", "aa.png", "b/000.png", "b/001.png"]
    assert scan_images(root, card(), tmp_path / "scratch").paths == paths


def test_a_remote_folder_is_copied_and_read_like_a_local_one(tmp_path):
    root = fill(tmp_path / "made", 3)
    remote = fsspec.filesystem("memory")
    for path in root.iterdir():
        remote.pipe_file(f"/bucket/made/{path.name}", path.read_bytes())
    try:
        for _ in range(2):  # again into the same scratch, as a second try does
            far = scan_images("memory://bucket/made", card(), tmp_path / "scratch")
    finally:
        remote.rm("/bucket", recursive=True)
    near = scan_images(root, card(), tmp_path / "other")
    assert far.root.is_relative_to(tmp_path / "scratch") and far.paths == near.paths
    assert np.array_equal(everything(far, card()), everything(near, card()))


def test_the_images_of_a_chunk_come_in_the_order_asked_for_with_several_threads(tmp_path, monkeypatch):
    root = fill(tmp_path / "made", 12)
    outside = scan_images(root, card(), tmp_path / "scratch")
    monkeypatch.setattr(parallel, "AHEAD", 5)
    rows = [11, 3, 7, 7, 0, 1, 2, 4]
    expected = np.stack([pixels(picture(row)) for row in rows])
    assert np.array_equal(read(outside, rows, card()), expected)


@pytest.mark.parametrize("count", [10, 100])
def test_what_a_job_is_sent_does_not_grow_with_the_folder(tmp_path: Path, count: int) -> None:
    paths, labels = [f"{i:03d}.png" for i in range(count)], np.arange(count)
    part = ExternalImages(tmp_path, paths, labels, "as they are", 0).part(4, 3)
    assert part.paths == ["004.png", "005.png", "006.png"] and part.labels is not None
    assert part.labels.tolist() == [4, 5, 6]
    assert len(pickle.dumps(part)) < 900
    assert ExternalImages(tmp_path, paths, None, "as they are", 0).part(4, 3).labels is None
