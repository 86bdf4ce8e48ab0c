"""The perceptual loss, with features that are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.parts.perceptual import WEIGHTS, Layer, perceptual_distance


def multiples(x: Tensor, layers: int) -> list[Tensor]:
    """Layer i is i x."""
    return [(i + 1) * x for i in range(layers)]


@pytest.mark.parametrize(
    ("layer", "factor"), [(1, 1), (3, 3), ("all", sum(w * (i + 1) for i, w in enumerate(WEIGHTS)))]
)
def test_the_distance_is_the_weighted_difference_of_features(layer: Layer, factor: float) -> None:
    y = torch.rand(2, 3, 4, 4)
    fake = y + torch.tensor([0.5, -2.0])[:, None, None, None]
    distance = perceptual_distance(multiples, y, fake, layer)
    torch.testing.assert_close(distance, factor * torch.tensor([0.5, 2.0]))
    assert perceptual_distance(multiples, y, y, layer).tolist() == [0, 0]


def test_only_the_sample_gets_a_gradient() -> None:
    y, fake = torch.rand(2, 2, 3, 4, 4).requires_grad_().unbind()
    perceptual_distance(multiples, y, fake, 2).sum().backward()
    gradient = y._base.grad if y._base is not None else None
    assert gradient is not None and not gradient[0].any() and gradient[1].all()
