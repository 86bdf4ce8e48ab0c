"""StyleGAN3: published sizes, equivariance of its layers, magnitudes and blur."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models.data_spec import DataSpec
from models.family import Batch, Motion
from models.stylegan2 import path_lengths
from models.stylegan3 import Generator, StyleGAN3, StyleGAN3Config, Synthesis, blurred

SMALL: dict[str, Any] = {
    "latent": 8,
    "width": 8,
    "channel_base": 256,
    "channel_max": 16,
    "layers": 6,
    "r1": 1.0,
}


def synthesis(variant: str, **more: Any) -> tuple[Synthesis, Tensor]:
    """An untrained network in float64 whose input is moved by w too, and styles for two images."""
    torch.manual_seed(0)
    network = Synthesis(StyleGAN3Config(variant=variant, **SMALL | more), DataSpec(2, 32)).double().eval()
    torch.nn.init.normal_(network.input.affine.weight, std=0.3)
    return network, torch.randn(2, 1, 8, dtype=torch.float64).expand(-1, network.num_styles, -1)


@pytest.mark.parametrize(("resolution", "variant", "base", "millions"), [
    (1024, "t", 2**15, 22.3),
    (256, "t", 2**14, 23.3),
    (256, "r", 2**14, 15.8),
    (1024, "r", 2**15, 15.1),  # by the rules of App. F; Sec. 4 repeats 15.8, the number for 256 pixels
])  # fmt: skip
def test_the_size_of_the_published_networks(
    resolution: int, variant: str, base: int, millions: float
) -> None:
    """Sec. 4 and Fig. 5, right."""
    config = StyleGAN3Config(variant=variant, channel_base=base)
    with torch.device("meta"):
        generator = Generator(config, DataSpec(3, resolution))
        images = generator(torch.zeros(2, 512))
    assert round(sum(p.numel() for p in generator.parameters()) / 1e6, 1) == millions
    assert images.shape == (2, 3, resolution, resolution)


def test_the_papers_channels() -> None:
    t, r = (StyleGAN3Config(variant=variant, channel_base=2**15) for variant in ("t", "r"))
    assert [t.channels_at(f) for f in (2.0, 32.0, 128.0, 512.0)] == [512, 512, 128, 32]
    assert [r.channels_at(f) for f in (2.0, 32.0, 128.0, 512.0)] == [1024, 1024, 256, 64]


@pytest.mark.parametrize("variant", ["t", "r"])
def test_a_shift_by_whole_samples_of_all_layers_is_exact(variant: str) -> None:
    """Two pixels of 32 are a sample at the lowest rate, 16; but for what comes in from beyond the margin."""
    network, ws = synthesis(variant, margin=20)
    still = network(ws)
    shift = Motion(torch.zeros(2).double(), torch.tensor([[4 / 32, -2 / 32]] * 2).double())
    there = network(ws, motion=shift)
    assert float(still.detach().std()) > 0.01
    torch.testing.assert_close(there[..., :-2, 4:], still[..., 2:, :-4], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["t", "r"])
def test_a_shift_by_parts_of_samples_is_nearly_exact(variant: str) -> None:
    """A pixel is half a sample of the first layers: the filters keep both apart by more than 30 dB."""
    network, ws = synthesis(variant)
    still = network(ws)
    there = network(ws, motion=Motion(torch.zeros(2).double(), torch.tensor([[1 / 32, 0.0]] * 2).double()))
    error = (there[..., 1:] - still[..., :-1]).square().mean() / still.var()
    assert -10 * math.log10(float(error.detach())) > 30


@pytest.mark.parametrize("more", [
    {"layers": 4},  # the rate grows fourfold from one layer to the next
    {"oversampling": 4},
    {"filter_size": 5},
    {"margin": 0},
])  # fmt: skip
@pytest.mark.parametrize("variant", ["t", "r"])
def test_layers_may_be_specified_otherwise(variant: str, more: dict[str, Any]) -> None:
    """Without a shift of the centre: config R turns by a half turn about it, whatever its filters."""
    torch.manual_seed(0)
    config = StyleGAN3Config(variant=variant, **SMALL | more)
    network = Synthesis(config, DataSpec(1, 64)).double().eval()
    ws = torch.randn(1, 1, 8, dtype=torch.float64).expand(-1, network.num_styles, -1)
    still = network(ws)
    assert still.shape == (1, 1, 64, 64) and still.isfinite().all()
    half = Motion(torch.full((1,), math.pi).double(), torch.zeros(1, 2).double())
    turned = network(ws, motion=half)
    if variant == "r":
        torch.testing.assert_close(turned, still.flip(2, 3), atol=1e-5, rtol=0)


def test_config_r_turns_with_its_input() -> None:
    """By a quarter turn, exactly; config T's convolutions of 3x3 do not turn."""
    errors = {}
    for variant in ("t", "r"):
        network, ws = synthesis(variant)
        quarter = Motion(torch.full((2,), math.pi / 2).double(), torch.zeros(2, 2).double())
        still, there = network(ws), network(ws, motion=quarter)
        errors[variant] = float((there - still.rot90(-1, (2, 3))).abs().max() / still.std())
    assert errors["r"] < 1e-6 < 0.1 < errors["t"]


def test_layers_divide_by_the_magnitude_of_their_input() -> None:
    network, ws = synthesis("t")
    still = network(ws)
    with torch.no_grad():
        network.colours.magnitude.fill_(4.0)
    torch.testing.assert_close(network(ws), still / 2)  # its bias is 0


def family(**more: Any) -> StyleGAN3:
    torch.manual_seed(0)
    return StyleGAN3(StyleGAN3Config(**SMALL | {"images_per_step": 4} | more), DataSpec(1, 32))


def test_magnitudes_follow_the_signals_of_g_once_per_step() -> None:
    """Half of the way in 4 images, which are a step; D's steps and samples change nothing."""
    trained = family(magnitude_half_life_images=4)
    network, batch = trained.generator.synthesis, Batch(2, torch.rand(2, 1, 32, 32))
    trained.discriminator_loss(batch)
    assert all(float(m) == 1 for m in network.magnitudes) and not trained.squares
    for _ in range(2):  # two shards
        trained.generator_loss(batch)
    squares = torch.stack(trained.squares).mean(0)
    assert squares.shape == (7,) and 0.3 < float(squares[0]) < 0.7
    trained.after_generator({})
    torch.testing.assert_close(torch.stack(network.magnitudes), (1 + squares) / 2)
    assert not trained.squares
    assert "generator.synthesis.layers.0.magnitude" in trained.state_dict()


def test_the_phases_are_stylegan2s_without_path_lengths() -> None:
    assert [phase.name for phase in family().phases] == ["discriminator", "discriminator_r1", "generator"]
    assert "generator_path" in [phase.name for phase in family(path_weight=0.5).phases]
    assert family().generator.synthesis.noise_sizes == ()


def test_path_lengths_are_differentiable() -> None:
    """A second derivative through filters and modulation, as in the paper's ablation."""
    network, ws = synthesis("r")
    ws = ws.clone().requires_grad_()
    path_lengths(network(ws), ws).sum().backward()
    assert ws.grad is not None and ws.grad.isfinite().all()


def test_the_blur_of_config_r_ends() -> None:
    trained = family(variant="r", images_per_step=50)
    for step, sigma in ((0, 10.0), (2000, 5.0), (4000, 0.0), (9000, 0.0)):
        trained.begin(step)
        assert trained.blur == pytest.approx(sigma)
    assert family().blur == 0 and family(variant="r", blur=3.0).blur == 3
    x = torch.rand(2, 1, 32, 32)
    trained.begin(0)
    assert trained.judged(x, Batch(2, x)).std() < 0.5 * x.std()
    trained.begin(4000)
    assert trained.judged(x, Batch(2, x)) is x


def test_blurring_is_a_gaussian() -> None:
    """A point becomes a Gaussian of this standard deviation, and the sum stays."""
    x = torch.zeros(1, 1, 33, 33)
    x[..., 16, 16] = 1
    y, at = blurred(x, 2.0)[0, 0], torch.arange(33.0) - 16
    assert float(y.sum()) == pytest.approx(1, abs=1e-5)
    assert float((y.sum(0) * at.square()).sum()) == pytest.approx(4, rel=0.05)
    torch.testing.assert_close(y, y.T)


def test_the_images_per_step_are_those_of_the_batch() -> None:
    card = DataSpec(1, 32)
    config = StyleGAN3.for_batch(StyleGAN3Config(), card, 64)
    assert isinstance(config, StyleGAN3Config)
    assert (config.images_per_step, config.r1) == (64, pytest.approx(0.0002 * 32**2 / 64))
    assert StyleGAN3.for_batch(StyleGAN3Config(images_per_step=8), card, 64).images_per_step == 8


def test_a_resolution_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="images have 28 pixels a side, and must have a power of two"):
        StyleGAN3(StyleGAN3Config(**SMALL), DataSpec(1, 28))
