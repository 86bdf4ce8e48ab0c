"""Real-ESRGAN's degradation: kernels and noise in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.sources import second_order
from components.data.sources.second_order import (
    FIRST,
    KERNELS,
    RealEsrgan,
    blur_kernel,
    filtered,
    kernel,
    noisy,
    poisson_noise,
    resized,
    sinc_kernel,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_probabilities_of_kernels_sum_to_one() -> None:
    assert sum(KERNELS.values()) == pytest.approx(1)


def test_kernels_sum_to_one_and_have_odd_sides() -> None:
    sides = set()
    for seed in range(200):
        weights = blur_kernel((0.2, 3.0), generator(seed))
        assert weights.sum() == pytest.approx(1) and weights.shape[0] == weights.shape[1]
        sides.add(len(weights))
    assert sides == {7, 9, 11, 13, 15, 17, 19, 21}


def test_a_gaussian_has_its_deviations_along_its_axes() -> None:
    weights = kernel("gaussian", 41, 4.0, 1.5, 0.0, 1.0)
    axis = np.arange(41) - 20
    assert (weights.sum(axis=0) * axis**2).sum() == pytest.approx(16, rel=1e-3)
    assert (weights.sum(axis=1) * axis**2).sum() == pytest.approx(2.25, rel=1e-3)
    np.testing.assert_allclose(kernel("gaussian", 41, 4.0, 1.5, np.pi / 2, 1.0), weights.T, atol=1e-12)


def test_generalized_gaussians_and_plateaus() -> None:
    np.testing.assert_allclose(
        kernel("generalized", 9, 2, 2, 0, 1), kernel("gaussian", 9, 2, 2, 0, 1), atol=1e-15
    )
    plateau = kernel("plateau", 9, 2, 2, 0, 1.5)
    assert plateau[4, 4] / plateau[4, 6] == pytest.approx(2), "half of the height at one deviation"
    generalized = kernel("generalized", 9, 2, 2, 0, 3)
    assert generalized[4, 4] / generalized[4, 8] == pytest.approx(np.exp(4**3 / 2))


def test_a_sinc_filter_keeps_slow_waves_and_stops_fast_ones() -> None:
    class Fixed:
        def choice(self, sides):
            return 21

        def uniform(self, low, high):
            return np.pi / 2

    weights = sinc_kernel(Fixed())  # type: ignore[arg-type]
    assert weights.min() < 0, "it rings"
    x = np.arange(64)
    slow, fast = (np.tile(np.cos(w * x), (64, 1))[None] for w in (np.pi / 16, np.pi * 0.9))
    inner = np.s_[:, 12:-12, 12:-12]
    assert np.abs(filtered(slow, weights) - slow)[inner].max() < 0.15
    assert np.abs(filtered(fast, weights))[inner].max() < 0.15


def test_a_constant_stays_constant_but_for_noise() -> None:
    constant = np.full((3, 30, 30), 0.5)
    np.testing.assert_allclose(filtered(constant, blur_kernel((0.2, 3.0), generator())), 0.5)
    for seed in range(9):
        np.testing.assert_allclose(resized(constant, 7, generator(seed)), 0.5)
    assert (filtered(np.eye(8)[None], np.ones((1, 1))) == np.eye(8)).all()


def test_poisson_noise_has_the_variance_of_photons() -> None:
    x = np.full((1, 400, 400), 102 / 255)
    x[0, 0, :200] = np.arange(200) / 255  # 200 levels are 256 photons
    noise = poisson_noise(x, generator())[0, 1:]
    assert abs(noise.mean()) < 1e-3 and noise.var() == pytest.approx(0.4 / 256, rel=0.02)


def test_noise_is_of_both_kinds_grey_and_coloured() -> None:
    x = np.full((3, 64, 64), 0.5)
    grey = deviations = 0
    for seed in range(200):
        noise = noisy(x, FIRST, generator(seed)) - x
        grey += bool(np.allclose(noise[0], noise[1]))
        deviations += bool(1 / 255 * 0.9 < noise.std() < 30 / 255 * 1.1)
    assert 50 < grey < 115 and deviations > 75


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_chain_gives_small_images_which_the_seed_decides(channels: int, scale: int) -> None:
    image = generator(1).integers(0, 256, (channels, 64, 64), dtype=np.uint8)
    degrade = RealEsrgan(scale=scale)
    sources = [degrade(image, seed) for seed in range(12)]
    assert {source.shape for source in sources} == {(channels, 64 // scale, 64 // scale)}
    assert len({source.tobytes() for source in sources}) == 12
    np.testing.assert_array_equal(degrade(image, 3), sources[3])


def test_the_mean_of_an_image_is_kept() -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (3, 64, 1))  # of one level, it would have one photon
    means = [RealEsrgan()(ramp, seed).mean() for seed in range(40)]
    assert abs(np.mean(means) - ramp.mean()) < 4


def test_the_last_filter_rings_after_or_before_the_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for name in ("jpeg", "resized", "noisy"):
        real = getattr(second_order, name)
        monkeypatch.setattr(
            second_order, name, lambda *a, real=real, name=name: (steps.append(name), real(*a))[1]
        )
    orders = set()
    for seed in range(20):
        steps.clear()
        RealEsrgan()(np.full((3, 32, 32), 9, np.uint8), seed)
        orders.add(tuple(steps))
    twice = ("resized", "noisy", "jpeg", "resized", "noisy")
    assert orders == {(*twice, "resized", "jpeg"), (*twice, "jpeg", "resized")}


def test_scale_three_is_refused() -> None:
    with pytest.raises(InputError, match="scale 3 is not supported: choose 2 or 4"):
        RealEsrgan(scale=3).check(3, 66)
