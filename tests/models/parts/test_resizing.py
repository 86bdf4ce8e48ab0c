"""Bicubic interpolation of images."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d

from models.parts.resizing import enlarged, reduced
from tests.models.test_inpainting import images


def test_a_small_image_is_the_mean_of_smooth_ones_and_has_no_aliases() -> None:
    smooth = enlarged(images()[:, :, :4, :4], 16)
    torch.testing.assert_close(reduced(smooth, 4), avg_pool2d(smooth, 4), rtol=0, atol=0.16)
    stripes = torch.ones(1, 1, 16, 16)
    stripes[..., ::2] = -1  # too fine for 4 pixels: grey is all that can be said of them
    assert float(reduced(stripes, 4)[..., 1:-1].abs().max()) < 0.1
    flat = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(enlarged(reduced(flat, 4), 16), flat)
