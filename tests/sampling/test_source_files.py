"""A user's files as sources: which they are, what their outputs are called, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.sampling.source_files import SourceFiles, image_files, output_names
from models.data_spec import DataSpec


def test_outputs_have_the_names_of_their_files() -> None:
    assert output_names(["a.jpg", "b.png", "c/a.jpg"]) == {
        "a.jpg": "a.png",
        "b.png": "b.png",
        "c/a.jpg": "c/a.png",
    }


@pytest.mark.parametrize(("files", "names"), [
    (["a.jpg", "a.png"], ["a.jpg.png", "a.png.png"]),
    (["A.jpg", "a.png", "b.png"], ["A.jpg.png", "a.png.png", "b.png"]),
    (["a.jpg", "a.jpg.png", "a.png"], ["a.jpg.png", "a.jpg.png.png", "a.png.png"]),
])  # fmt: skip
def test_files_that_differ_in_their_extension_keep_it(files: list[str], names: list[str]) -> None:
    assert list(output_names(files).values()) == names


def test_a_file_keeps_its_extension_beside_a_folder_of_its_name() -> None:
    names = output_names(["a.jpg", "a.png/b.png"])
    assert list(names.values()) == ["a.jpg.png", "a.png/b.png"]


def test_names_that_no_system_tells_apart_are_refused() -> None:
    with pytest.raises(InputError, match=r"A.png and a.png differ in case alone"):
        output_names(["a.png", "A.png"])


def test_images_below_a_folder_are_listed_and_others_ignored(
    tmp_path: Path, pictures: dict[str, Path]
) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name in ("b.png", "below/a.png", ".hidden.png"):
        (folder / name).write_bytes(pictures["image"].read_bytes())
    (folder / "notes.txt").write_text("no image")
    assert image_files(folder) == ["b.png", "below/a.png"]
    (folder / "photo.heic").write_bytes(b"")
    with pytest.raises(InputError, match=r"photo.heic: .heic is not supported"):
        image_files(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: there are no images in it"):
        image_files(tmp_path / "empty")


def test_files_of_any_mode_are_read_upright_on_the_background(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    half = Image.fromarray(red).convert("RGBA")
    half.putalpha(Image.fromarray(np.tile(np.uint8([255] * 4 + [0] * 4), (8, 1))))
    saved = {"rgb.png": Image.fromarray(red), "rgba.png": half, "p.png": half.quantize(4)}
    saved["cmyk.tif"] = Image.fromarray(red).convert("CMYK")
    saved["sixteen.png"] = Image.fromarray(np.full((8, 8), 200 * 257, np.uint16))
    saved["la.png"] = Image.fromarray(np.full((8, 8), 200, np.uint8)).convert("LA")
    for name, image in saved.items():
        image.save(tmp_path / name)
    turned, exif = np.zeros((8, 8), np.uint8), Image.Exif()
    turned[0], exif[0x0112] = 255, 6  # its first row is on the right
    Image.fromarray(turned).save(tmp_path / "exif.png", exif=exif)
    paths = [tmp_path / name for name in (*saved, "exif.png")]
    files = SourceFiles(paths, DataSpec(3, 8), "#0000ff", exact=False)
    rgb, rgba, palette, cmyk, sixteen, grey, upright = files[np.arange(7)]
    np.testing.assert_array_equal(rgb, red.transpose(2, 0, 1))
    np.testing.assert_array_equal(cmyk, rgb)
    for image in (rgba, palette):
        assert (image[:, :, :4].T == (200, 0, 0)).all() and (image[:, :, 4:].T == (0, 0, 255)).all()
    assert (sixteen == 200).all() and (grey == 200).all()
    assert (upright[:, :, 7] == 255).all() and not upright[:, :, :7].any()
    assert files.note == ""


def test_it_is_said_that_files_were_cut_and_resized(tmp_path: Path, pictures: dict[str, Path]) -> None:
    paths = [pictures["image"], pictures["large_mask"]]
    files = SourceFiles(paths, DataSpec(1, 8), None, exact=False)
    assert files[np.array([1, 0, 1, 1])].shape == (4, 1, 8, 8)
    assert files.note == (
        "1 of 2 images was cut to the centre square, resized to 8x8 pixels and read in grey, "
        "as the model was trained."
    )
    with pytest.raises(InputError, match="8x16 pixels; the model enlarges images of 8x8"):
        SourceFiles(paths, DataSpec(1, 8), None, exact=True)[np.array([1])]
