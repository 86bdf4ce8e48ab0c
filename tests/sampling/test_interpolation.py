"""`atelier interpolate`: closed ways through points, as stills, animations and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.common.errors import InputError
from components.sampling.interpolation import interpolate, write_animation, write_interpolation
from components.sampling.styles import Key, Styles
from tests.sampling.style_models import opened


@pytest.fixture
def styles(tmp_path: Path) -> Styles:
    return opened(tmp_path)


def test_in_w_it_is_a_closed_polygon(styles: Styles) -> None:
    keys = styles.keys([1, 2, 3])
    ways = interpolate(styles, keys, 12)
    a, b, c = (styles.styles(key) for key in keys)
    for i, expected in [(0, a), (4, b), (8, c), (2, (a + b) / 2), (9, 0.75 * c + 0.25 * a)]:
        assert torch.allclose(ways[i], expected, atol=1e-6)
    assert len(ways) == 12 and not torch.equal(ways[11], a), "the first frame is not there twice"


def test_in_z_it_passes_the_same_points(styles: Styles) -> None:
    keys = styles.keys([1, 2])
    ways = interpolate(styles, keys, 8, "z")
    for i, key in ((0, keys[0]), (4, keys[1])):
        assert torch.allclose(ways[i], styles.styles(key), atol=1e-5)
    assert not torch.allclose(ways[2], interpolate(styles, keys, 8)[2], atol=1e-4)


def test_in_z_there_is_one_class_and_no_file(tmp_path: Path) -> None:
    styles = opened(tmp_path, conditional=True)
    with pytest.raises(InputError, match="--space z: the seeds have different classes; name one"):
        interpolate(styles, styles.keys([1, 2]), 4, "z")
    projected = Key(styles.keys([1])[0].w, [])
    with pytest.raises(InputError, match="--space z: files of `atelier project` are points of W"):
        interpolate(styles, [projected, projected], 4, "z")


@pytest.mark.parametrize(("suffix", "format"), [(".webp", "WEBP"), (".gif", "GIF"), (".apng", "PNG")])
def test_an_animation_has_all_frames_and_repeats(
    styles: Styles, tmp_path: Path, suffix: str, format: str
) -> None:
    output, done = tmp_path / f"loop{suffix}", []
    progress = lambda n, of: done.append((n, of))  # noqa: E731
    n = write_interpolation(styles, styles.keys([1, 2]), output, frames=20, fps=20, progress=progress)
    assert n == 20 and done == [(16, 20), (20, 20)]
    with Image.open(output) as image:
        assert (image.format, image.size, image.info["loop"]) == (format, (8, 8), 0)
        image.load()
        assert image.n_frames == 20 and image.info["duration"] == 50


def test_stills_have_a_line_for_each_seed(styles: Styles, tmp_path: Path) -> None:
    output, keys = tmp_path / "stills.png", styles.keys([1, 2, 3])
    assert write_interpolation(styles, keys, output) == 24
    with Image.open(output) as image:
        picture = np.asarray(image)
    assert picture.shape == (3 * 8, 8 * 8)
    (first,) = styles.images([styles.styles(keys[1])], [keys[0].noises])
    np.testing.assert_allclose(picture[8:16, :8], first[0, 0], atol=1)
    assert write_interpolation(styles, keys, output, frames=4) == 4


def test_frames_in_a_folder_are_those_of_the_animation(styles: Styles, tmp_path: Path) -> None:
    folder, keys = tmp_path / "frames", styles.keys([1, 2])
    write_interpolation(styles, keys, folder, frames=6, folder=True)
    files = sorted(path.name for path in folder.iterdir())
    assert files == [f"{i:06}.png" for i in range(6)]
    write_interpolation(styles, keys, tmp_path / "loop.webp", frames=6)
    with Image.open(tmp_path / "loop.webp") as image:
        for i, name in enumerate(files):
            image.seek(i)
            frame = np.asarray(image.convert("L")).astype(int)
            assert np.abs(frame - np.asarray(Image.open(folder / name))).max() <= 1
    with pytest.raises(InputError, match="000000.png and 5 more exist already"):
        write_interpolation(styles, keys, folder, frames=6, folder=True)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("x.mp4", {}, "-o .*x.mp4: stills are written as .png, animations as .webp"),
        ("x.webp", {"frames": 1}, "--frames 1: a frame of each of the 2 points is needed"),
        ("x.webp", {"fps": 0}, "--fps 0 is not accepted: it is above 0 and at most 50"),
        ("x.webp", {"fps": 100}, "--fps 100 is not accepted"),
    ],
)
def test_bad_input_writes_nothing(
    styles: Styles, tmp_path: Path, name: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        write_interpolation(styles, styles.keys([1, 2]), tmp_path / name, **settings)
    assert not (tmp_path / name).exists()


def test_colours_of_an_animation_are_kept(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), np.uint8)
    for name in ("a.webp", "a.apng"):
        write_animation(list(images), tmp_path / name)
        with Image.open(tmp_path / name) as image:
            for i, expected in enumerate(images):
                image.seek(i)
                np.testing.assert_array_equal(np.asarray(image.convert("RGB")).transpose(2, 0, 1), expected)
