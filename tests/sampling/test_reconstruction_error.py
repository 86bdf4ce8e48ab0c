"""The error with which an image comes back from a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from components.data.dataset import ShardedArray, Split
from components.sampling import reconstruction_error
from models.family import Batch


class Black(nn.Module):
    """Gives black images back, whatever it is shown."""

    def code(self, batch: Batch) -> Tensor:
        return torch.zeros(batch.n, 1)

    def picture(self, code: Tensor, batch: Batch) -> Tensor:
        assert batch.image is not None
        return torch.full_like(batch.image, -1)


def test_errors_are_squares_of_pixels_from_0_to_1_in_rising_order() -> None:
    images = np.repeat(np.array([255, 0, 51], np.uint8), 4).reshape(3, 1, 2, 2)
    result = reconstruction_error.errors_of(Black(), images)
    assert result == pytest.approx([1, 0, 0.04])
    ordered = reconstruction_error.validation_errors(
        Black(), Split(ShardedArray([images]), None), "cpu", 1000
    )
    assert ordered.values == pytest.approx([0, 0.04, 1]) and ordered.n == 3
    assert (
        reconstruction_error.validation_errors(Black(), Split(ShardedArray([images]), None), "cpu", 2).n == 2
    )


def test_a_model_keeps_its_mode() -> None:
    model = Black().train()
    reconstruction_error.errors_of(model, np.zeros((65, 1, 2, 2), np.uint8))
    assert model.training
