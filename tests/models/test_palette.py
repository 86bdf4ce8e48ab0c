"""Diffusion from sources to images of the same size."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from components.families.catalogue import build
from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Noise
from models.palette import Palette
from tests import tiny

CARD = DataSpec(3, 16, source=SourceShape(1, 16))


def palette(card: DataSpec = CARD, **settings: Any) -> Palette:
    torch.manual_seed(0)
    family = build("palette", {"width": 16, "sampler_steps": 2, **settings}, card)
    assert isinstance(family, Palette)
    for p in family.parameters():  # of which the last layer's are zero
        p.data += 0.02 * torch.randn_like(p)
    return family


def test_the_network_sees_every_channel_of_the_source() -> None:
    family = palette()
    (term,) = family.loss(tiny.noise_with_sources(4, CARD))[0].values()
    term.mean().backward()
    stem = next(p for name, p in family.named_parameters() if name.endswith("stem.weight"))
    assert stem.shape[1] == 3 + 1
    assert stem.grad is not None and stem.grad.flatten(2).norm(dim=(0, 2)).min() > 0


def test_a_sample_depends_on_its_source_alone() -> None:
    family = palette(DataSpec(1, 16, source=SourceShape(1, 16)), strength=0.3)
    generator = family.generator.eval()
    source = torch.rand(2, 1, 16, 16) * 2 - 1
    seeds = [3, 4]
    samples = [
        generator.sample(Batch(2, image, source=x), Noise(seeds))
        for image, x in ((None, source), (torch.ones_like(source), source), (None, source.flip(0)))
    ]
    assert torch.equal(samples[0], samples[1]) and not torch.allclose(samples[0], samples[2], atol=1e-2)


@pytest.mark.parametrize(
    ("card", "settings", "words"),
    [
        (DataSpec(3, 16, source=SourceShape(3, 4)), {}, "sources have 4 pixels a side and images 16"),
        (CARD, {"strength": 0.5}, "sources are grey and images in colour; .* set strength: 1"),
    ],
)
def test_what_does_not_fit_is_refused(card: DataSpec, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        palette(card, **settings)
