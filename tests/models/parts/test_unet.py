"""The U-Net follows the resolution and its settings."""

from __future__ import annotations

import pytest

from models.data_spec import DataSpec
from models.parts.unet import space_to_depth
from tests.models.test_diffusion import batch, build

CLASSES, CAPTIONS = DataSpec(1, 8, 3), DataSpec(1, 8, 3, text=6)


@pytest.mark.parametrize(
    ("resolution", "factor"), [(8, 1), (15, 1), (16, 1), (28, 2), (32, 2), (60, 4), (64, 4)]
)
def test_space_to_depth_follows_the_resolution(resolution: int, factor: int) -> None:
    assert space_to_depth(resolution) == factor


@pytest.mark.parametrize("changes", [
    {"channel_multipliers": (1,)},
    {"channel_multipliers": (1, 7)},
    {"channel_multipliers": (1, 2, 3), "num_res_blocks": 2},
    {"channel_multipliers": (1, 2), "skips": "concatenate"},
    {"attention": False, "space_to_depth": 2},
    {"attention_levels": (0, 1)},
    {"width": 48, "dropout": 0.1},
])  # fmt: skip
def test_the_unet_may_be_deeper_wider_and_without_attention(changes: dict[str, object]) -> None:
    family = build(**changes)
    family.loss(batch())[0]["velocity"].mean().backward()
    assert all(p.grad is not None for p in family.parameters())
