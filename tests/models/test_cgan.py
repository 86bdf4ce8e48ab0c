"""Conditional GANs: where the label enters."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from models.cgan import CGAN, CGANConfig, Planes
from models.data_spec import DataSpec
from models.dcgan import Generator
from models.parts.discriminator import (
    Discriminator,
)
from models.parts.layers import batch_norms
from tests.models.test_adversarial import CARD, images, trainer

pytestmark = pytest.mark.usefixtures("seeded")


def conditional(**settings: Any) -> CGAN:
    return CGAN(CGANConfig(width=8, latent=4, **settings), CARD)


def test_projection_is_a_score_and_an_inner_product() -> None:
    network = cast(Discriminator, conditional(condition="projection").discriminator)
    batch = images(5, labelled=True)
    assert network.project is not None
    h = network.features(batch.image)
    expected = network.score(h)[:, 0] + (network.project.weight[batch.label] * h).sum(1)
    torch.testing.assert_close(network(batch.image, batch.label), expected)


def test_concatenated_labels_are_planes_of_ones() -> None:
    class TrainingDisplay(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    x, label = torch.full((2, 3, 4, 4), 0.5), torch.tensor([2, 0])
    planes = Planes(cast(Discriminator, TrainingDisplay()), 3)(x, label)
    assert torch.equal(planes[:, :3], x)
    assert torch.equal(planes[:, 3:], one_hot(label, 3).float()[:, :, None, None].expand(-1, -1, 4, 4))


@pytest.mark.parametrize("condition", ["concatenation", "projection"])
def test_the_label_enters_both_networks(condition: str) -> None:
    model, batch = conditional(condition=condition).eval(), images(3, labelled=True)
    other = dataclasses.replace(batch, label=torch.tensor([9, 8, 7]))
    z = torch.randn(3, 4)
    assert not torch.allclose(model.generator(z, batch.label), model.generator(z, other.label))
    scores = [model.discriminator(batch.image, b.label) for b in (batch, other)]
    assert not torch.allclose(*scores)


@pytest.mark.parametrize("condition", ["concatenation", "projection"])
def test_samples_are_judged_under_the_labels_they_were_made_for(
    condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = conditional(condition=condition), images(4, labelled=True)
    calls: list[Tensor | None] = []
    for network in (model.generator, model.discriminator):
        network.register_forward_pre_hook(lambda m, inputs: calls.append(inputs[1]))
    model.discriminator_loss(batch)
    model.generator_loss(batch)
    assert len(calls) == 5 and all(label is batch.label for label in calls)


def test_without_labels_there_is_no_conditional_gan() -> None:
    with pytest.raises(ValueError, match="needs labels, and the data has none"):
        CGAN(CGANConfig(width=8), DataSpec(1, 8))
    assert CGAN.needs == {"label"}


def test_statistics_of_conditional_samples_are_those_of_all_classes() -> None:
    made, data = trainer("cgan")
    made.step(data)
    generator = cast(Generator, made.calibrated())
    norm = batch_norms(generator)[0]
    inputs = []
    for i in range(4):
        batch, noise = made.calibration_batch(i)
        assert batch.label is not None and set(batch.label.tolist()) == set(range(10))
        z = torch.cat([noise(generator.latent), one_hot(batch.label, 10).float()], 1)
        inputs.append(generator.project(z).detach().unflatten(1, (-1, norm.num_features)))
    means = torch.stack([values.mean((0, 1)) for values in inputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-4, atol=1e-5)
