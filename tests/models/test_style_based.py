"""What StyleGAN, StyleGAN2 and StyleGAN3 share: sizes, styles in training and sampling, the end of D."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.parts.mapping import truncated
from models.style_based import Head, StyleBasedConfig, precision_of, sizes_of
from models.stylegan2 import StyleGAN2, StyleGAN2Config

pytestmark = pytest.mark.usefixtures("seeded")


def small(**settings: Any) -> StyleGAN2:
    values = {"latent": 8, "width": 6, "mapping_depth": 2, "channel_base": 32, "r1": 1.0, **settings}
    return StyleGAN2(StyleGAN2Config(**values), DataSpec(1, 8, 3))


def images() -> Batch:
    return Batch(4, torch.rand(4, 1, 8, 8) * 2 - 1, torch.arange(4) % 3)


@pytest.mark.parametrize("resolution", [8, 16, 64, 1024])
def test_sizes_double_from_4_pixels(resolution: int) -> None:
    sizes = sizes_of(resolution)
    assert sizes[0] == 4 and sizes[-1] == resolution
    assert all(b == 2 * a for a, b in zip(sizes, sizes[1:], strict=False))


@pytest.mark.parametrize("resolution", [4, 28, 100])
def test_other_sizes_are_no_powers_of_two_from_8_on(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"images have {resolution} pixels a side, and must have a power"):
        sizes_of(resolution)


def test_styles_are_mixed_in_training() -> None:
    ws = small(mixing=1.0).styles(images())
    assert ws.shape == (4, 4, 6) and not any(torch.equal(w[0], w[-1]) for w in ws)
    ws = small(mixing=0.0).styles(images())
    assert torch.equal(ws, ws[:, :1].expand_as(ws))


def test_styles_of_samples_are_truncated_and_have_noise_of_their_own() -> None:
    generator = small(truncation=0.5, truncation_cutoff=3).generator.eval()
    generator.mapping.mean.copy_(torch.randn(6))
    ws, noises = generator.inputs(Batch(2), Noise([3, 4]))
    noise = Noise([3, 4])
    w = generator.styles(noise(8))
    torch.testing.assert_close(ws, truncated(w, generator.mapping.mean, 0.5, 3))
    assert [x.shape for x in noises] == [(2, 1, s, s) for s in generator.synthesis.noise_sizes]
    assert torch.equal(noises[0], noise(1, 4, 4))


def test_the_score_depends_on_the_deviation_over_the_batch() -> None:
    """Four equal images have another score than one of them beside others."""
    h = torch.randn(4, 8, 4, 4)
    equal = h[:1].expand(4, -1, -1, -1)
    with_statistic, without = (
        Head(StyleBasedConfig(width=6, channel_base=32, minibatch_stddev=group), 0) for group in (4, 0)
    )
    assert with_statistic(h).shape == (4,)
    assert not torch.isclose(with_statistic(h)[0], with_statistic(equal)[0])
    torch.testing.assert_close(without(h)[0], without(equal)[0])


def test_the_class_enters_by_projection() -> None:
    """D(x, y) = <e(y), f(x)> / sqrt(dim), with f(x) in place of the score."""
    model = small(conditional=True)
    batch, outputs = images(), list[Tensor]()
    model.discriminator.head.score.register_forward_hook(lambda _m, _x, y: outputs.append(y))
    score = model.discriminator(batch.image, batch.label)
    e = model.discriminator.head.project(None, batch.label)
    torch.testing.assert_close(score, (outputs[0] * e).sum(1) / math.sqrt(e.shape[1]))
    assert e.shape == (4, 8) and torch.equal(e[0], e[3])


def test_a_resolution_has_the_precision_of_the_training_or_float32() -> None:
    x = torch.randn(2, 3).bfloat16()
    for low, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        with torch.autocast("cpu", torch.bfloat16):
            context, y = precision_of(x, low)
            with context:
                assert (y @ y.T).dtype == dtype
