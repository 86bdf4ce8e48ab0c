"""Samples from images, written to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.sampling import to_file
from components.sampling.request import SampleOptions
from components.sampling.sheets import LARGEST_WEBP, SHEET_COLUMNS
from tests.sampling.test_from_images import SIDE, drawn, model


def test_a_hole_is_filled_and_the_rest_stays(tmp_path: Path, pictures: dict[str, Path]) -> None:
    result = drawn(model(tmp_path, "inpainting"), tmp_path, source=pictures["image"], mask=pictures["mask"])
    image, hole = (np.asarray(Image.open(pictures[name])) for name in ("image", "mask"))
    assert all(np.array_equal(each[hole == 0], image[hole == 0]) for each in result)
    assert (result[0][hole > 0] != result[1][hole > 0]).any(), "two fillings are two samples"


def test_without_a_mask_holes_are_at_random(tmp_path: Path, pictures: dict[str, Path]) -> None:
    result = drawn(model(tmp_path, "inpainting"), tmp_path, source=pictures["image"])
    image = np.asarray(Image.open(pictures["image"]))
    assert all(0 < (each != image).sum() < image.size for each in result)


def test_a_small_image_is_enlarged(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder = model(tmp_path, "super_resolution")
    result = drawn(folder, tmp_path, source=pictures["small"])
    assert result.shape == (2, SIDE, SIDE)
    assert not np.array_equal(result, drawn(folder, tmp_path, source=pictures["other_small"]))


def test_an_image_is_started_from(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder = model(tmp_path, "diffusion", sampler_steps=20)
    image = np.asarray(Image.open(pictures["image"])).astype(int)
    near, far = (
        np.abs(drawn(folder, tmp_path, source=pictures["image"], strength=strength) - image).mean()
        for strength in (0.05, 0.9)
    )
    assert near < far


def test_an_image_whose_class_is_not_said_has_none(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder = model(tmp_path, "inpainting", classes=3)
    asked = {"source": pictures["image"], "mask": pictures["mask"]}
    plain, *of_classes = (
        drawn(folder, tmp_path, n=3, label=label, **asked) for label in (None, "0", "1", "2")
    )
    for i, labelled in enumerate(of_classes):  # image i of class i would be the classes in turn
        assert (plain[i] != labelled[i]).any()


def test_enlarging_may_start_from_the_small_image(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder = model(tmp_path, "super_resolution", sampler_steps=20)
    plain = drawn(folder, tmp_path, source=pictures["small"]).astype(int)
    near, far = (
        drawn(folder, tmp_path, source=pictures["small"], strength=strength).astype(int)
        for strength in (0.05, 0.9)
    )
    apart = [np.abs(each[0] - each[1]).mean() for each in (near, far, plain)]
    assert apart[0] < apart[1] < apart[2], "the less noise, the less two samples differ"


def test_more_samples_than_a_webp_holds_are_refused_before_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model(tmp_path, "diffusion", sampler_steps=2)
    monkeypatch.setattr(to_file.generate, "draw", lambda *_, **__: pytest.fail("drawn"))
    most = LARGEST_WEBP // SIDE * SHEET_COLUMNS
    with pytest.raises(InputError, match=f"which {most} samples of this"):
        to_file.sample_to_file(folder, tmp_path / "x.webp", n=most + 1)
    to_file.check_size(tmp_path / "x.webp", most, SIDE)
    to_file.check_size(tmp_path / "x.png", most + 1, SIDE)


def test_it_is_said_that_the_source_of_several_samples_was_cut(
    tmp_path: Path, pictures: dict[str, Path]
) -> None:
    folder, notes = model(tmp_path, "pix2pix"), list[str]()
    for n in (1, 2):
        options = SampleOptions(source=pictures["large_mask"])
        to_file.sample_to_file(folder, tmp_path / "out.png", n=n, options=options, notes=notes)
    assert len(notes) == 2 and notes[0] == notes[1]
    assert notes[0].startswith("The image was cut to the centre square, resized to 8x8 pixels")
