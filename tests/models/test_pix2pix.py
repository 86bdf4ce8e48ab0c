"""Pix2Pix: its networks, its losses by hand, and what it does at test time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Noise
from models.parts.layers import batch_norms
from models.pix2pix import Generator, Layer, Pix2Pix, Pix2PixConfig, jittered
from models.search_space import searchable
from tests import tiny

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(3, 16, source=SourceShape(1, 16))


def pix2pix(card: DataSpec = CARD, **settings: Any) -> Pix2Pix:
    return Pix2Pix(Pix2PixConfig(**{"width": 4, "patch": 16, "jitter": 0.0, **settings}), card)


def sampled(family: Pix2Pix, x: Tensor, seeds: range) -> Tensor:
    with torch.no_grad():
        return family.eval().generator.sample(Batch(len(x), source=x), Noise(seeds))


# Networks.


def channels(layers: Any) -> list[str]:
    """As the paper writes layers: C64, or CD512 with dropout; - for no BatchNorm."""
    return [
        f"C{'D' if layer.dropout else ''}{layer.convolution.out_channels}{'' if layer.norm else '-'}"
        for layer in layers
    ]


def test_the_generator_is_the_paper_s_at_256_pixels() -> None:
    with torch.device("meta"):
        generator = Generator(Pix2PixConfig(), DataSpec(3, 256, source=SourceShape(1, 256)))
    assert channels(generator.encoder) == ["C64-", "C128", "C256", "C512", "C512", "C512", "C512", "C512-"]
    assert channels(generator.decoder) == ["CD512", "CD512", "CD512", "C512", "C256", "C128", "C64", "C3-"]
    inputs = [layer.convolution.in_channels for layer in generator.decoder]  # type: ignore[union-attr]
    assert inputs == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert sum(p.numel() for p in generator.parameters()) == pytest.approx(54.4e6, rel=0.01)
    activations = [type(layer.activation) for layer in [*generator.encoder, *generator.decoder]]  # type: ignore[union-attr]
    assert activations == [nn.Identity, *[nn.LeakyReLU] * 7, *[nn.ReLU] * 8]


@pytest.mark.parametrize(("resolution", "encoder", "decoder"), [
    (32, ["C4-", "C8", "C16", "C32", "C32-"], ["CD32", "CD16", "CD8", "C4", "C3-"]),
    (28, ["C4-", "C8", "C16", "C32-"], ["CD16", "CD8", "CD4", "C3-"]),
    (8, ["C4-", "C8", "C16-"], ["CD8", "CD4", "C3-"]),
])  # fmt: skip
def test_smaller_images_have_fewer_levels(resolution: int, encoder: list[str], decoder: list[str]) -> None:
    card = DataSpec(3, resolution, source=SourceShape(1, resolution))
    generator = Generator(Pix2PixConfig(width=4), card)
    assert (channels(generator.encoder), channels(generator.decoder)) == (encoder, decoder)
    h = torch.zeros(2, 1, resolution, resolution)
    for layer in generator.encoder:
        h = layer(h, None, False)
    assert h.shape == (2, generator.config.width * min(2 ** (len(encoder) - 1), 8), 1, 1)
    assert generator(torch.zeros(2, 1, resolution, resolution)).shape == (2, *card.shape)


def test_skip_connections_carry_every_level() -> None:
    """With the innermost encoding cut off, the output still depends on each earlier layer of the encoder."""
    generator = pix2pix().generator
    layers: list[Layer] = list(generator.encoder)  # type: ignore[arg-type]
    nn.init.zeros_(layers[-1].convolution.weight)  # type: ignore[arg-type]
    generator(tiny.noise_with_sources(4, CARD).source).square().sum().backward()
    assert all(layer.convolution.weight.grad.abs().sum() > 0 for layer in layers[:-1])  # type: ignore[union-attr, operator]


def test_weights_are_drawn_as_in_the_paper() -> None:
    family = pix2pix(width=32)
    for m in family.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            assert float(m.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
            assert m.bias is None or not m.bias.any()
        if isinstance(m, nn.BatchNorm2d):
            assert float((m.weight.detach() - 1).abs().mean()) == pytest.approx(
                0.02 * math.sqrt(2 / math.pi), rel=0.6
            )


def test_settings_are_the_paper_s() -> None:
    config = Pix2PixConfig()
    assert (config.l1, config.patch, config.dropout, config.norm) == (100, 70, 0.5, "batch")
    assert (config.lr, config.beta1, config.beta2, config.n_critic) == (2e-4, 0.5, 0.999, 1)
    assert round(256 * (1 + config.jitter)) == 286
    assert {"l1", "patch", "lr"} <= set(
        searchable(Pix2PixConfig)
    ) and "latent" not in Pix2PixConfig.model_fields


def test_sources_and_images_of_unlike_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="sources have 4 pixels a side and images 16; they must agree"):
        pix2pix(DataSpec(3, 16, source=SourceShape(3, 4)))
    with pytest.raises(ValueError, match="images have 3 pixels a side, and must have 4 or more"):
        pix2pix(DataSpec(3, 3, source=SourceShape(3, 3)), patch=1)
    with pytest.raises(ValueError, match="the data has none"):
        pix2pix(DataSpec(3, 16))


# Losses.


def test_the_identity_has_no_l1_loss() -> None:
    card = DataSpec(1, 16, source=SourceShape(1, 16))
    family, x = pix2pix(card), torch.rand(4, 1, 16, 16) * 2 - 1
    family.generator.forward = lambda x, uniform: x  # type: ignore[method-assign, assignment]
    assert family.generator_loss(Batch(4, x, source=x))[0]["l1"].tolist() == [0] * 4
    shifted, _ = family.generator_loss(Batch(4, x + 0.25, source=x))
    assert shifted["l1"].tolist() == pytest.approx([100 * 0.25] * 4)


def test_both_losses_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """D sees (x, y) and (x, G(x)); its loss is halved; G's has lambda times the distance."""
    family, batch = pix2pix(l1=7.0), tiny.noise_with_sources(4, CARD)
    x, y = batch.source, batch.image
    assert x is not None and y is not None
    fake = torch.rand_like(y)
    monkeypatch.setattr(family, "fake", lambda _: fake)
    r, f = (family.discriminator(torch.cat([x, image], 1)) for image in (y, fake))
    assert r.shape == (4, 6, 6)
    terms, observed = family.discriminator_loss(batch)
    torch.testing.assert_close(terms, {"real": softplus(-r) / 2, "fake": softplus(f) / 2})
    torch.testing.assert_close(observed["loss"], (terms["real"].mean() + terms["fake"].mean()).detach())
    terms, _ = family.generator_loss(batch)
    distance = 7 * (y - fake).abs().mean((1, 2, 3))
    torch.testing.assert_close(terms, {"score": softplus(-f), "l1": distance})


def test_a_penalty_is_on_the_mean_score_of_the_patches() -> None:
    """For D = w.(x, y) in every patch, R1 is gamma/2 |w|^2 of the part that sees the image, here halved."""
    family, batch = pix2pix(norm="none", r1=3.0, patch=1), tiny.noise_with_sources(4, CARD)
    linear = nn.Conv2d(4, 1, 1)
    family.discriminator.forward = lambda pair, label=None: linear(pair).squeeze(1)  # type: ignore[method-assign]
    terms, _ = family.discriminator_loss(batch)
    expected = 3 / 2 * linear.weight[0, 1:].square().sum() / 16**2 / 2
    torch.testing.assert_close(terms["r1"], expected.expand(4))


def test_the_first_convolution_of_d_sees_both_images() -> None:
    family, batch = pix2pix(), tiny.noise_with_sources(4, CARD)
    loss = sum(term.mean() for term in family.discriminator_loss(batch)[0].values())
    loss.backward()  # type: ignore[union-attr]
    weight = family.discriminator.features[0].weight  # type: ignore[index, union-attr]
    assert weight.shape[1] == 1 + 3 and (weight.grad.abs().sum((0, 2, 3)) > 0).all()  # type: ignore[union-attr]


def test_augmentations_change_source_and_image_alike() -> None:
    card = DataSpec(1, 16, source=SourceShape(1, 16))
    family, x = pix2pix(card, augment=("translation", "cutout")), torch.rand(8, 1, 16, 16)
    augmented = family.augmented_input(x, Batch(8, x, source=x))
    assert torch.equal(augmented[:, 0], augmented[:, 1]) and not torch.equal(augmented[:, :1], x)


def test_jitter_crops_pairs_alike() -> None:
    x = torch.rand(6, 1, 32, 32)
    batch = jittered(Batch(6, x.expand(-1, 3, -1, -1), source=x), 0.117)
    assert batch.source is not None and batch.image is not None
    assert batch.source.shape == x.shape and torch.equal(batch.image, batch.source.expand(-1, 3, -1, -1))
    assert not torch.equal(batch.source, x)
    flat = jittered(Batch(6, torch.full((6, 3, 32, 32), 0.5), source=x), 0.117).image
    torch.testing.assert_close(flat, torch.full((6, 3, 32, 32), 0.5))
    ramp = torch.linspace(-1, 1, 32).expand(200, 1, 32, 32)
    lefts = jittered(Batch(200, ramp, source=ramp), 0.117).image[:, 0, 0, 0]  # type: ignore[index]
    assert len(lefts.mul(1e3).round().unique()) == 36 - 32 + 1, "every crop of 36 pixels occurs"
    untouched = Batch(6, x, source=x)
    assert torch.equal(jittered(untouched, 0.0).image, x)  # type: ignore[arg-type]


# At test time.


def randomised(**settings: Any) -> Pix2Pix:
    """A family whose BatchNorm has learnt statistics, scales and shifts."""
    family = pix2pix(width=8, **settings)
    for norm in batch_norms(family.generator):
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0, 0.3)
    for _ in range(3):
        family.train().generator(tiny.noise_with_sources(8, CARD).source)
    return family


def test_dropout_is_on_at_test_time_and_its_seed_decides() -> None:
    family, x = randomised(), tiny.noise_with_sources(1, CARD).source
    assert x is not None
    twice = x.expand(2, -1, -1, -1)
    a, b = sampled(family, twice, range(2))
    assert (a - b).abs().max() > 1e-3
    assert torch.equal(sampled(family, twice, range(2))[1], b)


def test_without_dropout_a_source_has_one_image() -> None:
    for off in ({"dropout_at_test": False}, {"dropout": 0.0}):
        family, x = randomised(**off), tiny.noise_with_sources(1, CARD).source
        assert x is not None
        a, b = sampled(family, x.expand(2, -1, -1, -1), range(2))
        torch.testing.assert_close(a, b)


def test_dropout_keeps_the_mean_and_its_share() -> None:
    layer = Layer(nn.Identity(), nn.Identity(), dropout=0.25)
    h = layer(torch.ones(2, 50, 50, 50), lambda *shape: torch.rand(2, *shape), False)
    assert h.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(h.mean()) == pytest.approx(1, abs=0.01)
    assert (layer(torch.ones(2, 5, 5, 5), None, False) == 1).all()


def test_statistics_are_those_of_training_at_batch_1() -> None:
    """A sample is what the network in training mode makes of its source alone, with the same dropout."""
    family, x = randomised(), tiny.noise_with_sources(4, CARD).source
    assert x is not None
    samples = sampled(family, x, range(4))
    for i in range(4):
        with torch.no_grad():
            alone = family.train().generator(x[i : i + 1], Noise([i]).uniform)
        torch.testing.assert_close(samples[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_statistics_of_training_are_switchable() -> None:
    family, x = randomised(statistics_at_test="training"), tiny.noise_with_sources(4, CARD).source
    assert x is not None
    with torch.no_grad():
        expected = family.eval().generator(x, Noise(range(4)).uniform)
    samples = sampled(family, x, range(4))
    torch.testing.assert_close(samples, expected)
    family.generator.config = family.config.model_copy(update={"statistics_at_test": "image"})
    assert (sampled(family, x, range(4)) - samples).abs().max() > 1e-3


def test_ways_to_sample_are_compared() -> None:
    (study,) = Pix2Pix.studies(Pix2PixConfig(), CARD)
    assert len(study.variants) == 4
    assert [len(s.variants) for s in Pix2Pix.studies(Pix2PixConfig(dropout=0.0), CARD)] == [2]
    own = Pix2PixConfig().model_dump()
    for change in study.variants.values():
        assert Pix2PixConfig(**(own | dict(change))) and all(
            searchable(Pix2PixConfig)[k].sampling for k in change
        )


def test_labels_have_no_effect() -> None:
    labelled = dataclasses.replace(CARD, num_classes=3)
    assert Pix2Pix.conditions(Pix2PixConfig(), labelled) == frozenset()
