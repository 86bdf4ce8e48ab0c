"""How images are prepared for each extractor."""

import numpy as np
import pytest
import torch

from components.extractors.preprocess import (
    prepare_custom,
    prepare_efficientnet,
    prepare_own,
    tensorflow_resize,
)
from tests.extractors.test_inception import random_images


def test_own_preparation_reduces_but_never_enlarges():
    images = torch.from_numpy(random_images(2, 1, 96))
    small = prepare_own(images, 64)
    assert small.shape == (2, 1, 64, 64) and float(small.std()) < float((images / 127.5).std())
    assert torch.equal(prepare_own(images, 96), images.float() / 127.5 - 1)


def test_tensorflow_resize_reads_at_corners():
    x = torch.tensor([[0.0, 10.0, 20.0, 30.0]]).expand(4, 4)[None, None]
    np.testing.assert_allclose(tensorflow_resize(x, 8)[0, 0, 0], [0, 5, 10, 15, 20, 25, 30, 30])
    np.testing.assert_allclose(tensorflow_resize(x.mT, 8)[0, 0, :, 3], [0, 5, 10, 15, 20, 25, 30, 30])
    assert torch.equal(tensorflow_resize(x, 2)[0, 0, 0], torch.tensor([0.0, 20.0]))  # without antialiasing


@pytest.mark.parametrize("edge", [1, 32, 40, 299, 400])
def test_tensorflow_resize_is_that_of_torch_fidelity(edge):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    x = torch.from_numpy(random_images(1, 3, edge)).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    np.testing.assert_allclose(tensorflow_resize(x, 299), expected, atol=1e-3)


def test_custom_preparation_has_a_mean_for_each_channel():
    white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    x = prepare_custom(white, 8, [0.0, 0.5, 1.0], [1.0, 0.5, 2.0])
    assert x.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(x[0, :, 0, 0], [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(prepare_custom(white, 4, [0.5], [0.25]), 2.0)


@pytest.mark.parametrize(("edge", "resized"), [(8, 96), (96, 96), (97, 128), (224, 224), (300, 224)])
def test_efficientnet_sees_multiples_of_32(edge, resized):
    x = prepare_efficientnet(torch.full((1, 1, edge, edge), 255, dtype=torch.uint8))
    assert x.shape == (1, 3, resized, resized)
    np.testing.assert_allclose(x, 1.0, atol=1e-5)
