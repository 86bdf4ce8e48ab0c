"""Resampling against a loop over pixels, with its derivatives; what it keeps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.parts.upfirdn import downsample, fir_filter, upfirdn, upsample
from tests.models.parts.derivatives import assert_equal_derivatives

TAPS = fir_filter([1, 3, 3, 1])
UNEVEN = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, 4.0], [0.0, 1.5, -1.0]])


def slow_upfirdn(x: Tensor, f: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    """Each pixel of the result as the sum of its definition."""
    f = torch.outer(f, f) if f.ndim == 1 else f
    n, c, height, width = x.shape
    before, after = padding
    sizes = [size * up + before + after - len(f) + 1 for size in (height, width)]
    rows = []
    for i in range(0, sizes[0], down):
        row = []
        for j in range(0, sizes[1], down):
            total = x.new_zeros(n, c)
            for a in range(len(f)):
                for b in range(len(f)):
                    # The pixel of the image with zeros between that the filter's tap (K - 1 - a, ...) meets.
                    v, u = i + a - before, j + b - before
                    if v % up == 0 and u % up == 0 and 0 <= v < height * up and 0 <= u < width * up:
                        total = total + x[:, :, v // up, u // up] * f[len(f) - 1 - a, len(f) - 1 - b]
            row.append(total)
        rows.append(torch.stack(row, 2))
    return gain * torch.stack(rows, 2)


@pytest.mark.parametrize("f", [TAPS, UNEVEN, torch.tensor([1.0, -2.0, 0.5, 4.0, 1.0])])
@pytest.mark.parametrize(("up", "down", "padding", "gain"), [
    (1, 1, (0, 0), 1.0),
    (1, 1, (2, 1), 1.0),
    (1, 2, (2, 2), 0.5),
    (2, 1, (2, 1), 4.0),
    (2, 1, (-1, 6), 1.0),
    (2, 2, (3, 2), 1.0),
    (3, 1, (4, 5), 9.0),
    (4, 3, (0, 1), 1.0),
    (1, 1, (3, -1), 1.0),
])  # fmt: skip
def test_resampling_is_its_definition(
    f: Tensor, up: int, down: int, padding: tuple[int, int], gain: float
) -> None:
    torch.manual_seed(0)
    x, f = torch.randn(2, 3, 5, 6), f.double()
    assert_equal_derivatives(
        lambda x: upfirdn(x, f, up=up, down=down, padding=padding, gain=gain),
        lambda x: slow_upfirdn(x, f, up, down, padding, gain),
        x,
    )


@pytest.mark.parametrize("taps", [[1, 1], [1, 2, 1], [1, 3, 3, 1], [1, 4, 7, 7, 4, 1]])
def test_up_then_down_keeps_a_constant(taps: list[float]) -> None:
    """But for a border, beyond which there are zeros."""
    x, f = torch.full((1, 2, 12, 12), 0.7), fir_filter(taps)
    large = upsample(x, f)
    same = downsample(large, f)
    assert large.shape == (1, 2, 24, 24) and same.shape == x.shape
    for image in (large, same):
        inside = image[..., 4:-4, 4:-4]
        torch.testing.assert_close(inside, torch.full_like(inside, 0.7))


def test_a_factor_may_be_more_than_two() -> None:
    x, f = torch.full((1, 1, 9, 9), 0.7), fir_filter([1, 2, 3, 2, 1])
    large = upsample(x, f, 3)
    assert large.shape == (1, 1, 27, 27) and downsample(large, f, 3).shape == x.shape
    torch.testing.assert_close(large[..., 3:-3, 3:-3], torch.full((1, 1, 21, 21), 0.7))


def test_enlarging_with_1331_is_bilinear() -> None:
    """Which torch offers too, though with another border and a slow derivative."""
    x = torch.randn(2, 3, 6, 6)
    bilinear = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(x, TAPS)[..., 2:-2, 2:-2], bilinear[..., 2:-2, 2:-2])


def test_enlarging_and_shrinking_are_adjoint() -> None:
    """<up x, y> = 4 <x, down y>."""
    x, y = torch.randn(1, 2, 5, 5), torch.randn(1, 2, 10, 10)
    torch.testing.assert_close((upsample(x, TAPS) * y).sum(), 4 * (x * downsample(y, TAPS)).sum())


def test_a_pixel_stays_where_it_is() -> None:
    """The centre of mass of a point is at the same place of an enlarged image: (i + 1/2) 2 - 1/2."""
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 3, 4] = 1
    large = upsample(x, TAPS)[0, 0]
    places = torch.arange(16.0)
    assert float((large.sum(1) * places).sum() / large.sum()) == pytest.approx(6.5)
    assert float((large.sum(0) * places).sum() / large.sum()) == pytest.approx(8.5)


def test_images_stay_channels_last() -> None:
    x = torch.randn(2, 8, 8, 8).contiguous(memory_format=torch.channels_last)
    for y in (upsample(x, TAPS), downsample(x, TAPS), upfirdn(x, TAPS, padding=(2, 1))):
        assert y.is_contiguous(memory_format=torch.channels_last)
