"""StyleGAN: the published sizes, AdaIN, resampling and growth against closed forms, and its settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu

from components.common.errors import InputError
from components.families.catalogue import build
from components.training.trainer import Trainer
from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.stylegan import (
    Block,
    Discriminator,
    Generator,
    Growth,
    Style,
    StyleGAN,
    StyleGANConfig,
    SynthesisBlock,
    adain,
    enlarged,
    grown,
)
from tests import tiny

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(1, 16, 3)
SMALL: dict[str, Any] = {
    "latent": 8,
    "width": 6,
    "mapping_depth": 2,
    "channel_base": 32,
    "minibatch_stddev": 0,
    "images_per_step": 10,
    "first_resolution": 4,
    "stable_images": 100,
    "fade_images": 200,
}


def small(card: DataSpec = CARD, **settings: Any) -> StyleGAN:
    return StyleGAN(StyleGANConfig(**SMALL | settings), card)


def grown_up(size: int, fade: float, **settings: Any) -> StyleGAN:
    """A family in this stage of its growth, whose biases are not 0."""
    model = small(**settings)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    model.growth, model.discriminator.fade = Growth(size, fade), fade
    return model


def images(n: int = 4, card: DataSpec = CARD) -> Batch:
    return Batch(n, torch.rand(n, *card.shape) * 2 - 1, torch.arange(n) % 3)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# The published sizes.


def paper_networks() -> tuple[Generator, Discriminator]:
    config, card = StyleGANConfig(channel_base=16384), DataSpec(3, 1024)
    with torch.device("meta"):
        return Generator(config, card), Discriminator(config, card)


def test_networks_have_the_published_numbers_of_parameters() -> None:
    """Published: 26.2M for G, Karras et al. 2019, Sec. 2; 23.1M for D, Karras et al. 2018, Table 2.

    The paper's own 23.1M are those of the traditional generator; D is that of Karras et al. 2018. The exact
    numbers are derived below.
    """
    g, d = map(count, paper_networks())
    assert (round(g / 1e6, 1), round(d / 1e6, 1)) == (26.2, 23.1)
    assert (g, d) == (26_219_627, 23_087_249)


CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}


def test_parameters_of_g_by_hand() -> None:
    """A layer has a strength of noise, a bias and 2 w + 2 numbers of its style for each channel."""
    w = 512
    total = 8 * (w * w + w) + 512 * 16  # the mapping network and the constant
    for size, c in CHANNELS.items():
        total += 2 * c * (1 + 1 + 2 * w + 2)
        total += 9 * c * c + (9 * CHANNELS[size // 2] * c if size > 4 else 0)
        total += 3 * c + 3  # to colours
    assert total == 26_219_627


def test_parameters_of_d_by_hand() -> None:
    total = (9 * 513 * 512 + 512) + (512 * 16 * 512 + 512) + (512 + 1)  # at 4x4, with the deviation
    for size, c in CHANNELS.items():
        total += 3 * c + c  # from colours
        if size > 4:
            total += (9 * c * c + c) + (9 * c * CHANNELS[size // 2] + CHANNELS[size // 2])
    assert total == 23_087_249


def test_shapes_at_1024_pixels() -> None:
    generator, discriminator = paper_networks()
    shapes: list[tuple[int, ...]] = []
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, SynthesisBlock | Block):
            module.register_forward_hook(lambda _m, _x, y: shapes.append(tuple(y.shape)))
    with torch.device("meta"):
        x = generator.synthesis.image(Growth(1024, 1.0), torch.randn(2, 18, 512))
        assert x.shape == (2, 3, 1024, 1024) and discriminator(x).shape == (2,)
    assert shapes[:9] == [(2, c, size, size) for size, c in CHANNELS.items()]
    assert shapes[9:] == [(2, CHANNELS[size // 2], size // 2, size // 2) for size in (*CHANNELS,)[:0:-1]]


# The generator.


def test_adain_gives_the_mean_and_deviation_of_the_style() -> None:
    x = 3 * torch.randn(4, 5, 8, 8) + 2
    scale, shift = torch.rand(4, 5, 1, 1) + 0.5, torch.randn(4, 5, 1, 1)
    y = adain(x, scale, shift)
    torch.testing.assert_close(y.mean((2, 3), keepdim=True), shift)
    torch.testing.assert_close(y.std((2, 3), correction=0, keepdim=True), scale)


def test_a_style_is_noise_bias_activation_and_adain() -> None:
    layer = Style(6, 3)
    x, w, noise = torch.randn(2, 3, 8, 8), torch.randn(2, 6), torch.randn(2, 1, 8, 8)
    assert torch.equal(layer(x, w, noise), layer(x, w))  # the strengths are 0 at first
    layer.noise.strength.data.copy_(torch.tensor([0.0, 0.5, 2.0])[:, None, None])
    layer.bias.data.normal_()
    y = layer.affine(w)
    scale, shift = 1 + y[:, :3, None, None], y[:, 3:, None, None]
    features = leaky_relu(x + noise * layer.noise.strength + layer.bias, 0.2)
    torch.testing.assert_close(layer(x, w, noise), adain(features, scale, shift))


def test_a_layer_enlarges_by_doubling_pixels_and_a_binomial_filter() -> None:
    """The paper's order: double, convolve, filter with [1, 2, 1]; it is the same but for the border."""
    block = SynthesisBlock(StyleGANConfig(**SMALL), 8, low=False)
    calls: list[Tensor] = []
    block.first.register_forward_pre_hook(lambda _m, inputs: calls.append(inputs[0]))
    x = torch.randn(2, 8, 4, 4)
    block(x, [torch.randn(2, 6)] * 2, [None, None])
    assert block.up is not None
    weight = block.up.scaled()[0].flip(2, 3)  # a transposed convolution mirrors it
    doubled = conv2d(interpolate(x, scale_factor=2.0), weight, padding=1)
    f = torch.tensor([1.0, 2.0, 1.0]) / 4
    binomial = (f[:, None] * f).expand(4, 1, 3, 3)
    slow = conv2d(doubled, binomial, padding=1, groups=4)
    torch.testing.assert_close(calls[0][..., 2:-2, 2:-2], slow[..., 2:-2, 2:-2])


def test_samples_are_truncated_towards_the_mean_of_w() -> None:
    generator = small(truncation=0.0).generator.eval()
    generator.mapping.mean.copy_(torch.randn(6))
    first, second = (generator.sample(Batch(1), Noise([seed])) for seed in (0, 1))
    torch.testing.assert_close(first, second)
    assert first.shape == (1, 1, 16, 16)


# Growth.


@pytest.mark.parametrize(("images", "resolution", "fade"), [
    (0, 8, 1.0),
    (599_999, 8, 1.0),
    (600_000, 8, 1.0),  # the same as 16 pixels with a fade of 0
    (750_000, 16, 0.25),
    (1_199_999, 16, 599_999 / 600_000),
    (1_200_000, 16, 1.0),
    (1_800_000, 16, 1.0),
    (2_100_000, 32, 0.5),
    (2_400_000, 32, 1.0),
    (7_800_000, 512, 1.0),
    (8_100_000, 1024, 0.5),
    (8_400_000, 1024, 1.0),
    (25_000_000, 1024, 1.0),
])  # fmt: skip
def test_the_paper_s_growth_at_1024_pixels(images: int, resolution: int, fade: float) -> None:
    """600,000 images with each resolution from 8 on, and as many in which the next one is faded in."""
    assert StyleGANConfig().growth(images, 1024) == Growth(resolution, fade)


@pytest.mark.parametrize(("count", "resolution", "fade"), [
    (0, 4, 1.0),
    (100, 4, 1.0),
    (150, 8, 0.25),
    (300, 8, 1.0),
    (410, 16, 0.05),
    (600, 16, 1.0),
])  # fmt: skip
def test_the_growth_of_a_family_follows_its_steps(count: int, resolution: int, fade: float) -> None:
    model = small()
    model.begin(count // 10)
    assert model.growth == Growth(resolution, fade) and model.discriminator.fade == fade
    assert model.num_styles == {4: 2, 8: 4, 16: 6}[resolution]
    batch = model.grown(images())
    assert batch.image is not None and model.fake(batch).shape == batch.image.shape
    assert batch.image.shape == (4, 1, resolution, resolution)
    assert model.styles(batch).shape == (4, model.num_styles, 6)
    model.begin(0)  # of nothing but the step
    assert model.growth == Growth(4, 1.0)


@pytest.mark.parametrize("first", [16, 64])
def test_networks_may_have_their_size_from_the_start(first: int) -> None:
    assert StyleGANConfig(first_resolution=first).growth(0, 16) == Growth(16, 1.0)


def test_a_resolution_is_faded_in_from_the_enlarged_one_below() -> None:
    synthesis = grown_up(16, 0.0).generator.synthesis
    ws, noises = torch.randn(2, 6, 6), [torch.randn(2, 1, s, s) for s in synthesis.noise_sizes]

    def at(size: int, fade: float) -> Tensor:
        return synthesis.image(Growth(size, fade), ws, noises)

    below = at(8, 1.0)
    torch.testing.assert_close(at(16, 0.0), below.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(at(16, 1e-9), at(16, 0.0))
    torch.testing.assert_close(at(16, 1 - 1e-9), at(16, 1.0))
    torch.testing.assert_close(at(16, 0.25), 0.75 * enlarged(below, 16) + 0.25 * at(16, 1.0))
    assert not torch.allclose(at(16, 1.0), at(16, 0.0))


def test_d_is_faded_in_from_the_halved_image() -> None:
    d = grown_up(16, 0.0).discriminator
    x = torch.randn(4, 1, 16, 16)

    def at(fade: float, x: Tensor) -> Tensor:
        d.fade = fade
        return d(x)

    torch.testing.assert_close(at(0.0, x), at(1.0, avg_pool2d(x, 2)))
    assert not torch.allclose(at(0.0, x), at(1.0, x))
    torch.testing.assert_close(at(1 - 1e-7, x), at(1.0, x))


def test_images_shrink_and_fade_as_samples_do() -> None:
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(grown(x, Growth(16, 1.0)), x)
    quarters = x.unflatten(2, (4, 4)).unflatten(4, (4, 4)).mean((3, 5))
    torch.testing.assert_close(grown(x, Growth(4, 1.0)), quarters)
    half = grown(x, Growth(8, 1.0))
    torch.testing.assert_close(grown(x, Growth(16, 0.0)), enlarged(half, 16))
    torch.testing.assert_close(grown(x, Growth(16, 0.3)), 0.7 * enlarged(half, 16) + 0.3 * x)


@pytest.mark.parametrize("size", [8, 16])
def test_r1_is_that_of_whole_images(size: int) -> None:
    """Gamma/2 |grad D|^2, with a D that averages pixels until the images have its size."""
    model, batch = grown_up(size, 1.0, r1=6.0), images()
    assert batch.image is not None
    x = batch.image.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.discriminator(avg_pool2d(x, 16 // size)).sum(), x)
    terms, _ = model.discriminator_loss(batch)
    assert set(terms) == {"real", "fake", "r1"}
    torch.testing.assert_close(terms["r1"], 6.0 / 2 * slope.square().flatten(1).sum(1))


def test_samples_are_those_of_the_last_training() -> None:
    """In whole size: G keeps the stage of its last phase, also when it is saved."""
    model = grown_up(8, 0.5)
    batch = images()
    model.generator_loss(batch)
    state = model.generator.state_dict()
    assert state["synthesis.growth"].tolist() == [8.0, 0.5]
    other = small().generator.eval()
    assert other.synthesis.growth.tolist() == [4.0, 1.0]
    other.load_state_dict(state)
    sample = other.sample(Batch(2), Noise([0, 1]))
    assert sample.shape == (2, 1, 16, 16)
    torch.testing.assert_close(sample, enlarged(avg_pool2d(sample, 2), 16))
    ws, noises = other.inputs(Batch(2), Noise([0, 1]))
    same = other.synthesis.image(Growth(8, 0.5), ws, noises)
    torch.testing.assert_close(sample, enlarged(same, 16).clamp(-1, 1))
    assert other.synthesis.growth.tolist() == [8.0, 0.5]  # sampling does not change it


def test_only_the_layers_of_a_resolution_are_trained() -> None:
    model, batch = grown_up(8, 1.0), images()
    for loss in (model.discriminator_loss, model.generator_loss):
        sum(term.mean() for term in loss(batch)[0].values()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert "generator.synthesis.blocks.1.conv.weight" in trained
    assert "generator.synthesis.blocks.2.conv.weight" not in trained
    colours = {name for name in trained if "colours" in name and "weight" in name}
    assert colours == {"generator.synthesis.colours.1.weight", "discriminator.colours.1.weight"}
    assert "discriminator.blocks.0.first.weight" in trained
    assert not any(name.startswith("discriminator.blocks.1") for name in trained)


# The rest of the training.


def test_the_two_phases_are_those_of_a_gan() -> None:
    assert [phase.name for phase in small().phases] == ["discriminator", "generator"]
    assert small(r1=0.5).gammas == (0.5 / 16, 0.0)  # at 4 of 16 pixels


def test_the_class_is_a_condition_if_asked_for() -> None:
    model = small(conditional=True)
    assert StyleGAN.conditions(model.config, CARD) == {"label"}
    first, second = (model.discriminator(torch.ones(1, 1, 16, 16), torch.tensor([y])) for y in (0, 1))
    assert not torch.equal(first, second)
    with pytest.raises(ValueError, match="conditional=true needs labels"):
        small(DataSpec(1, 16), conditional=True)


def test_lower_resolutions_stay_in_float32() -> None:
    model, types = grown_up(16, 0.5, bfloat16_resolutions=1), dict[str, torch.dtype]()
    for name, module in model.named_modules():
        if isinstance(module, SynthesisBlock | Block):
            module.register_forward_hook(lambda _m, _x, y, name=name: types.__setitem__(name, y.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        x = model.fake(images())
        model.discriminator(x)
    low = {name for name, dtype in types.items() if dtype == torch.bfloat16}
    assert x.dtype == torch.float32 and low == {"generator.synthesis.blocks.2", "discriminator.blocks.1"}


# What is refused.


@pytest.mark.parametrize("resolution", [4, 28, 100])
def test_other_sizes_are_refused(resolution: int) -> None:
    with pytest.raises(InputError, match=f"images have {resolution} pixels a side, and must have a power of"):
        build("stylegan", SMALL, DataSpec(1, resolution), settings=tiny.settings())


def test_a_first_resolution_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValidationError, match="first_resolution\n.*must be a power of two"):
        StyleGANConfig(first_resolution=12)


def test_growth_without_images_enough_is_refused() -> None:
    """Two doublings of 300 images take 75 steps of 8 images: the next one is the first with all pixels."""
    family = build("stylegan", SMALL, CARD, settings=tiny.settings(steps=76))
    assert family.config.growth(75 * 8, 16) == Growth(16, 1.0)
    with pytest.raises(InputError) as error:
        build("stylegan", SMALL, CARD, settings=tiny.settings(steps=75))
    assert str(error.value) == (
        "families.stylegan: growing from first_resolution=4 to 16 pixels takes 600 images (stable_images=100 "
        "and fade_images=200 for each of 2 doublings), and the training ends after 600 (train.steps times "
        "train.batch); train longer, lower stable_images and fade_images, or raise first_resolution"
    )
    build("stylegan", {**SMALL, "first_resolution": 16}, CARD, settings=tiny.settings(steps=2))


def test_learning_rates_rise_with_the_resolution() -> None:
    """As in the authors' code for eight GPUs: 0.0015 at 128 pixels, 0.002 at 256, 0.003 from 512 on."""
    config = StyleGANConfig()
    rates = [config.lr * config.lr_factor(size) for size in (8, 64, 128, 256, 512, 1024)]
    assert rates == pytest.approx([0.001, 0.001, 0.0015, 0.002, 0.003, 0.003])
    settings = tiny.settings(steps=100, schedule="linear")
    trainer = Trainer(
        build("stylegan", {**SMALL, "lr": 0.5, "lr_factors": {8: 3}}, CARD, None, settings), settings
    )
    for step, rate in ((0, 0.5), (10, 0.5), (11, 1.5), (99, 1.5)):
        trainer.family.begin(step)
        trainer.set_learning_rates(step)
        for optimizer in trainer.family.optimizers:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate * (1 - step / 100))
    assert StyleGANConfig(**config.model_dump(mode="json")) == config


def test_a_smoke_run_grows_up_too() -> None:
    family = build("stylegan", {}, DataSpec(1, 32), settings=tiny.settings(steps=16, batch=4, smoke=True))
    stages = {family.config.growth(4 * step, 32).resolution for step in range(16)}
    assert stages == {8, 16, 32}
