"""Projection into W: its schedule, its terms by closed forms, and what it finds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.analysis import projection
from components.analysis.projection import jitter, noise_loss, project, project_to_files, rate
from components.common.errors import InputError
from components.extractors.feature_distance import feature_distance
from components.sampling.pictures import as_picture
from components.sampling.styles import Styles
from tests import tiny
from tests.sampling.style_models import opened

PIXELS = feature_distance("pixels", tiny.CARD)


def target_of(styles: Styles, seed: int = 5) -> np.ndarray:
    """A sample without noise, which is in W."""
    key = styles.from_seed(seed)
    (image,) = styles.images([styles.styles(key)], [[torch.zeros_like(n) for n in key.noises]])
    return image[0]


def test_the_rate_rises_and_falls() -> None:
    """App. D: linearly over 50 of 1000 steps, and by a cosine over the last 250."""
    assert [rate(step, 1000) for step in (0, 25, 50, 500, 750)] == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])
    assert rate(875, 1000) == pytest.approx(0.05) and rate(999, 1000) < 1e-5


def test_w_is_shaken_less_and_less() -> None:
    """App. D: 0.05 sigma t^2, t falling from 1 to 0 over the first 750 of 1000 steps."""
    assert jitter(0, 1000, 2.0) == pytest.approx(0.1) and jitter(375, 1000, 2.0) == pytest.approx(0.025)
    assert jitter(750, 1000, 2.0) == jitter(999, 1000, 2.0) == 0


def test_noise_is_independent_of_its_neighbours() -> None:
    """Of white noise the terms are small; of stripes each is 1, and of constants both are."""
    size = 64
    white = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    assert float(noise_loss([white])) < 0.1
    assert float(noise_loss([torch.ones(1, 1, 8, 8)])) == pytest.approx(2)
    # Averages of 2 x 2 are 0: of the four sizes 64 to 8 the first alone counts, along both axes.
    stripes = torch.tensor([1.0, -1.0]).repeat(size // 2).expand(1, 1, size, size)
    assert float(noise_loss([stripes])) == pytest.approx(2)
    assert float(noise_loss([])) == 0


def test_an_image_of_the_model_is_found(tmp_path: Path) -> None:
    styles = opened(tmp_path)
    target = target_of(styles)
    result = project(styles, target, PIXELS, steps=150)
    begun = project(styles, target, PIXELS, steps=1)
    assert result.distance < 0.5 * begun.distance and result.psnr > begun.psnr + 3
    for noise in result.noises:
        assert float(noise.mean()) == pytest.approx(0, abs=1e-5)
        assert float(noise.square().mean()) == pytest.approx(1, abs=1e-4)


def test_it_depends_on_its_seed_alone(tmp_path: Path) -> None:
    styles = opened(tmp_path)
    target = target_of(styles)
    first, again, other = (project(styles, target, PIXELS, steps=4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.w, again.w) and np.array_equal(first.image, again.image)
    assert not torch.equal(first.w, other.w)
    assert all(parameter.grad is None for parameter in styles.generator.parameters())


def test_a_generator_without_noise_inputs(tmp_path: Path) -> None:
    styles = opened(tmp_path, "stylegan3")
    target = target_of(styles)
    result, begun = (project(styles, target, PIXELS, steps=steps) for steps in (60, 1))
    assert result.noises == [] and result.distance < begun.distance


def test_the_search_begins_at_the_mean_of_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "JITTER", 0.0)
    styles = opened(tmp_path, conditional=True, label="digit 4")
    target = target_of(styles)
    result = project(styles, target, PIXELS, steps=1)  # the first rate is 0
    assert torch.equal(result.w, styles.mean(4)[0])


def test_files_are_a_picture_and_a_point(tmp_path: Path) -> None:
    styles, output = opened(tmp_path), tmp_path / "out.png"
    target = target_of(styles)
    as_picture(target).save(tmp_path / "target.png")
    done: list[tuple[int, int]] = []
    files, sentence = project_to_files(
        styles, tmp_path / "target.png", output, steps=3, progress=lambda *n: done.append(n)
    )
    assert files == [output, tmp_path / "out.safetensors"] and done == [(1, 3), (2, 3), (3, 3)]
    assert sentence.startswith("mean squared error 0.") and sentence.endswith(" dB")
    picture = np.asarray(Image.open(output))
    assert picture.shape == (8, 16) and np.array_equal(picture[:, :8], target[0])
    key = styles.from_file(files[1])
    (image,) = styles.images([styles.styles(key)], [key.noises])
    np.testing.assert_allclose(picture[:, 8:], image[0, 0], atol=1)


@pytest.mark.parametrize(
    ("mode", "side", "sentence"),
    [
        ("L", 16, "has 16x16 pixels, and the model's images 8x8; cut and resize it"),
        ("RGB", 8, "is in colour, and the model's images are grey; convert it"),
        (None, 8, "damaged|not an image|no image|unknown"),
    ],
)
def test_a_target_of_another_shape_is_refused(tmp_path: Path, mode: Any, side: int, sentence: str) -> None:
    styles, path = opened(tmp_path), tmp_path / "target.png"
    if mode is None:
        path.write_bytes(b"no picture")
    else:
        shape = (side, side, 3) if mode == "RGB" else (side, side)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8), mode).save(path)
    with pytest.raises(InputError, match=sentence):
        project_to_files(styles, path, tmp_path / "out.png", steps=1)
    assert not (tmp_path / "out.png").exists() and not (tmp_path / "out.safetensors").exists()


def test_math_of_the_cosine() -> None:
    assert rate(950, 1000) == pytest.approx(0.1 * (0.5 - 0.5 * math.cos(math.pi * 0.2)))
