"""DCGAN's networks and its BatchNorm."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from models import dcgan as module
from models.data_spec import DataSpec
from models.dcgan import DCGAN, DCGANConfig, Features, Generator
from models.parts.discriminator import (
    Discriminator,
    normalise_spectrally,
)
from models.parts.layers import batch_norms
from models.sngan import SNGAN
from tests.models.test_adversarial import DEEP, images

pytestmark = pytest.mark.usefixtures("seeded")


def dcgan(**settings: Any) -> DCGAN:
    return DCGAN(DCGANConfig(width=4, latent=4, **settings), DEEP)


def test_d_s_batch_norm_sees_images_and_samples_apart() -> None:
    model, batch = dcgan(), images(6, card=DEEP)
    layers = cast(Features, cast(Discriminator, model.discriminator).features).layers
    (norm,) = batch_norms(model.discriminator)
    calls: list[Tensor] = []
    norm.register_forward_pre_hook(lambda m, inputs: calls.append(inputs[0].detach()))
    torch.manual_seed(1)
    model.discriminator_loss(batch)
    torch.manual_seed(1)
    before = nn.Sequential(*[layer for layer in layers if layer is not norm][:3])  # up to BatchNorm
    expected = [before(x).detach() for x in (batch.image, model.fake(batch))]
    assert len(calls) == 2
    for result, reference in zip(calls, expected, strict=True):
        torch.testing.assert_close(result, reference)
    means = [h.mean((0, 2, 3)) for h in expected]
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * (0.9 * means[0] + means[1]))


def test_dcgan_has_no_dense_hidden_layer_and_torch_s_own_batch_norm() -> None:
    model = DCGAN(DCGANConfig(width=8), DataSpec(3, 64))
    dense = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert {m.out_features for m in dense} == {1, cast(Generator, model.generator).project.out_features}
    norms = batch_norms(model.discriminator) + batch_norms(model.generator)
    assert len(norms) == 3 + 4  # none after D's first convolution
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}


def test_spectral_normalisation_bounds_a_convolution_by_2() -> None:
    """The weight as a matrix has norm 1; a kernel of 4 and a stride of 2 read each pixel four times."""
    layer = nn.Sequential(nn.Conv2d(1, 1, 4, stride=2, padding=1, bias=False))
    nn.init.ones_(cast(nn.Conv2d, layer[0]).weight)
    normalise_spectrally(layer)
    layer(torch.zeros(1, 1, 8, 8))
    weight = cast(nn.Conv2d, layer[0]).weight.detach()
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=1e-4)
    units = torch.eye(32 * 32).unflatten(1, (1, 32, 32))
    operator = layer.eval()(units).detach().flatten(1)
    assert 1.9 < float(torch.linalg.matrix_norm(operator, 2)) <= 2
    assert SNGAN.__doc__ and "at most 2 per convolution" in SNGAN.__doc__


def test_dcgan_starts_from_small_weights() -> None:
    torch.manual_seed(0)
    family = module.DCGAN(module.DCGANConfig(), DataSpec(1, 28))
    convolutions = [m for m in family.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    weights = torch.cat([m.weight.detach().flatten() for m in convolutions])
    assert float(weights.mean()) == pytest.approx(0, abs=1e-3)
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    scales = torch.cat([m.weight.detach() for m in family.modules() if isinstance(m, nn.BatchNorm2d)])
    assert float(scales.mean()) == pytest.approx(1, abs=0.01)
