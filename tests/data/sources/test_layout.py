"""What the subfolders of a folder of images mean."""

from __future__ import annotations

import pytest

from components.common.errors import InputError
from components.data.sources.layout import Layout, composed


def test_subfolders_are_classes_in_the_order_of_their_names() -> None:
    paths = ["b/1.png", "a/2.png", "b/deeper/3.png"]
    classes = Layout(paths, "folder", False).classes(paths)
    assert classes["label_names"] == ["a", "b"] and classes["labels"].tolist() == [1, 0, 1]
    assert Layout(["a/1.png", "a/2.png"], "folder", False).classes(["a/1.png"]) == {}


def test_a_class_without_images_that_can_be_read_has_no_number() -> None:
    layout = Layout(["a/1.png", "b/2.png", "c/3.png"], "folder", False)
    classes = layout.classes(["a/1.png", "c/3.png"])
    assert classes["label_names"] == ["a", "c"] and classes["labels"].tolist() == [0, 1]


def test_a_copy_of_a_test_image_is_nowhere_else() -> None:
    paths = ["train/1.png", "val/2.png", "test/3.png", "train/4.png"]
    layout = Layout(paths, "folder", False)
    assert layout.splits(paths, ["x", "y", "x", "y"]) == ["test", "train", "test", "train"]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["1.png", "a/2.png"], "1 images in no subfolder and 1"),
        (["a\x01/1.png", "a\x02/2.png"], "control characters"),
        (["images/1.png", "Masks/1.png"], "Masks beside images is probably no class; .*--sources Masks"),
        (["train/JPEGImages/1.png", "train/SegmentationClass/1.png"], "is probably no class"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(paths: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Layout(paths, "folder", False)


def test_a_folder_with_captions_needs_no_classes() -> None:
    assert not Layout(["1.png", "a/2.png"], "folder", True).labelled


def test_folders_that_are_called_like_masks_are_classes_if_the_owner_says_so() -> None:
    assert Layout(["images/1.png", "masks/1.png"], "folder", False, "classes").names == ["images", "masks"]
    assert Layout(["masks/1.png", "cats/1.png"], "folder", False).names == ["cats", "masks"]


@pytest.mark.parametrize(
    ("folders", "kinds"),
    [
        (("TrainImages", "TestImages"), ("train", "test")),
        (("DIV2K_train_HR", "DIV2K_valid_HR"), ("train", "validation")),
        (("train_station", "airport"), (None, None)),
        (("train_station", "test_tube"), (None, None)),
        (("trainA", "testA"), (None, None)),
    ],
)
def test_names_that_differ_in_a_split_are_splits(folders: tuple[str, ...], kinds: tuple[str, ...]) -> None:
    assert tuple(map(composed(folders).get, folders)) == kinds


def test_folders_that_only_keep_files_apart_are_asked_about() -> None:
    paths = ["00000/000000007.jpg", "00000/000000009.jpg", "00001/000010000.jpg"]
    with pytest.raises(InputError, match=r"00000, 00001 are probably no classes, .* --layout none"):
        Layout(paths, "folder", True)
    assert not Layout(paths, "folder", False, "none").labelled
    assert Layout(paths, "folder", False, "classes").names == ["00000", "00001"]
    for signs in (["00000/1_2.ppm", "00001/1_2.ppm"], ["00000/a.png", "00001/b.png"], ["0/1.png", "1/2.png"]):
        assert Layout(signs, "folder", False).labelled


def test_without_classes_splits_are_still_read() -> None:
    paths = ["train/a/1.png", "train/2.png", "test/b/3.png"]
    layout = Layout(paths, "folder", False, "none")
    assert not layout.labelled and layout.splits(paths, ["1", "2", "3"]) == ["train", "train", "test"]
