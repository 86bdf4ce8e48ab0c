"""What StyleGAN, StyleGAN2 and StyleGAN3 share, in StyleGAN2: sizes, styles, truncation and classes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from models.family import Batch, DataSpec, Noise
from models.style_based import sizes_of
from models.stylegan2 import StyleGAN2, StyleGAN2Config

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(1, 8, 3)


def small(card: DataSpec = CARD, **settings: Any) -> StyleGAN2:
    values = {"latent": 8, "width": 6, "mapping_depth": 2, "channel_base": 32, "r1": 1.0, **settings}
    return StyleGAN2(StyleGAN2Config(**values), card)


def images(n: int = 4, card: DataSpec = CARD) -> Batch:
    return Batch(n, torch.rand(n, *card.shape) * 2 - 1, torch.arange(n) % 3)


@pytest.mark.parametrize("resolution", [8, 16, 64, 1024])
def test_sizes_double_from_4_pixels(resolution: int) -> None:
    sizes = sizes_of(resolution)
    assert sizes[0] == 4 and sizes[-1] == resolution
    assert all(b == 2 * a for a, b in zip(sizes, sizes[1:], strict=False))


@pytest.mark.parametrize("resolution", [4, 28, 48, 100])
def test_other_sizes_are_refused(resolution: int) -> None:
    with pytest.raises(
        ValueError, match=f"images have {resolution} pixels a side, and must have a power of two"
    ):
        small(DataSpec(1, resolution))


def test_truncation_is_towards_the_mean_of_w() -> None:
    generator = small(truncation=0.0).generator.eval()
    generator.mapping.mean.copy_(torch.randn(6))
    first, second = (generator.sample(Batch(1), Noise([seed])) for seed in (0, 1))
    torch.testing.assert_close(first, second)  # noise starts at a strength of 0
    whole = small(truncation=1.0)
    whole.generator.load_state_dict(generator.state_dict())
    assert not torch.equal(whole.generator.eval().sample(Batch(1), Noise([0])), first)
    cut = small(truncation=0.0, truncation_cutoff=0)
    cut.generator.load_state_dict(generator.state_dict())
    noise = (Noise([0]) for _ in range(2))
    images = [model.generator.eval().sample(Batch(1), next(noise)) for model in (cut, whole)]
    torch.testing.assert_close(*images)


@pytest.mark.parametrize("psi", [-0.1, 1.5])
def test_psi_out_of_range_is_refused(psi: float) -> None:
    with pytest.raises(ValidationError, match="truncation"):
        StyleGAN2Config(truncation=psi)


def test_styles_are_mixed_in_training() -> None:
    ws = small(mixing=1.0).styles(images())
    assert ws.shape == (4, 4, 6) and not any(torch.equal(w[0], w[-1]) for w in ws)
    ws = small(mixing=0.0).styles(images())
    assert torch.equal(ws, ws[:, :1].expand_as(ws))


def test_the_class_enters_by_projection() -> None:
    """D(x, y) = <e(y), f(x)> / sqrt(dim), with f(x) in place of the score."""
    model = small(conditional=True)
    batch, outputs = images(), list[Tensor]()
    model.discriminator.head.score.register_forward_hook(lambda _m, _x, y: outputs.append(y))
    score = model.discriminator(batch.image, batch.label)
    e = model.discriminator.head.project(None, batch.label)
    torch.testing.assert_close(score, (outputs[0] * e).sum(1) / math.sqrt(e.shape[1]))
    assert e.shape == (4, 8) and torch.equal(e[0], e[3])


def test_classes_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="conditional=true needs labels"):
        small(DataSpec(1, 8), conditional=True)
