"""The U-Net follows the resolution and its settings."""

from __future__ import annotations

import pytest
import torch

from models.diffusion import Diffusion
from models.diffusion_config import DiffusionConfig
from models.family import Batch, Card
from models.parts.unet import space_to_depth

CLASSES, CAPTIONS = Card(1, 8, 3), Card(1, 8, 3, text=6)


def build(card: Card = CLASSES, **changes: object) -> Diffusion:
    torch.manual_seed(0)
    family = Diffusion(DiffusionConfig(**{"width": 16, "sampler_steps": 3, **changes}), card)  # type: ignore[arg-type]
    for p in family.parameters():  # residual branches start at zero: then little could go wrong
        p.data += 0.02 * torch.randn_like(p)
    return family


def batch(card: Card = CLASSES, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(n, *card.shape, generator=generator) * 2 - 1
    text = torch.randn(n, 5, card.text, generator=generator) if card.text else None
    mask = torch.arange(5) < torch.arange(n)[:, None] % 5 + 1 if card.text else None
    return Batch(
        n, image, torch.arange(n) % card.num_classes if card.num_classes else None, text=text, text_mask=mask
    )


@pytest.mark.parametrize(
    ("resolution", "factor"), [(8, 1), (15, 1), (16, 1), (28, 2), (32, 2), (60, 4), (64, 4)]
)
def test_space_to_depth_follows_the_resolution(resolution: int, factor: int) -> None:
    assert space_to_depth(resolution) == factor


@pytest.mark.parametrize("changes", [
    {"multipliers": (1,)},
    {"multipliers": (1, 7)},
    {"multipliers": (1, 2, 3), "blocks": 2},
    {"multipliers": (1, 2), "skips": "concatenate"},
    {"attention": False, "space_to_depth": 2},
    {"attention_levels": (0, 1)},
    {"width": 48, "dropout": 0.1},
])  # fmt: skip
def test_the_unet_may_be_deeper_wider_and_without_attention(changes: dict[str, object]) -> None:
    family = build(**changes)
    family.loss(batch())[0]["velocity"].mean().backward()
    assert all(p.grad is not None for p in family.parameters())
