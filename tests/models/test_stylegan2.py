"""StyleGAN2: the published sizes, its equations against closed forms, and its settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from components.common.errors import InputError
from components.families.catalogue import build
from models.data_spec import DataSpec
from models.family import Batch, Motion, Noise
from models.style_based import sizes_of
from models.stylegan2 import (
    Discriminator,
    Generator,
    StyledConv,
    StyleGAN2,
    StyleGAN2Config,
    Synthesis,
    ToRGB,
    path_lengths,
)
from tests import tiny

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(1, 8, 3)


def small(card: DataSpec = CARD, **settings: Any) -> StyleGAN2:
    values = {"latent": 8, "width": 6, "mapping_depth": 2, "channel_base": 32, "r1": 1.0, **settings}
    return StyleGAN2(StyleGAN2Config(**values), card)


def images(n: int = 4, card: DataSpec = CARD) -> Batch:
    return Batch(n, torch.rand(n, *card.shape) * 2 - 1, torch.arange(n) % 3)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# The published sizes.


@pytest.mark.parametrize(("resolution", "channel_base", "g", "d"), [
    (1024, 32768, 30_370_060, 29_012_513),  # Karras et al. 2020, Table 1, config F: 30.0M and 28.9M, as 2^20
    (512, 32768, 30_276_583, 28_982_849),
    (256, 16384, 24_767_458, 24_001_089),
])  # fmt: skip
def test_networks_have_the_published_numbers_of_parameters(
    resolution: int, channel_base: int, g: int, d: int
) -> None:
    config, card = StyleGAN2Config(channel_base=channel_base), DataSpec(3, resolution)
    with torch.device("meta"):
        generator, discriminator = Generator(config, card), Discriminator(config, card)
    assert (count(generator), count(discriminator)) == (g, d)


def test_parameters_at_1024_pixels_by_hand() -> None:
    """Each convolution has weights, biases, a strength of noise and the layer from w to its style."""
    w, channels = 512, {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    total = 8 * (w * w + w) + 512 * 16  # the mapping network and the constant
    for size, c in channels.items():
        before = channels.get(size // 2)
        for i in [c] if before is None else [before, c]:
            total += (9 * i * c + c + 1) + (w * i + i)
        total += (3 * c + 3) + (w * c + c)  # to colours
    with torch.device("meta"):
        assert count(Generator(StyleGAN2Config(channel_base=32768), DataSpec(3, 1024))) == total


def test_shapes_at_1024_pixels() -> None:
    with torch.device("meta"):
        config, card = StyleGAN2Config(channel_base=32768), DataSpec(3, 1024)
        synthesis, discriminator = Synthesis(config, card), Discriminator(config, card)
        sizes = shapes(synthesis, StyledConv, lambda: synthesis(torch.randn(2, 18, 512)))
        assert synthesis.num_styles == 18 and len(sizes) == 17
        assert sizes[:4] == [(2, 512, 4, 4), (2, 512, 8, 8), (2, 512, 8, 8), (2, 512, 16, 16)]
        assert sizes[-3:] == [(2, 64, 512, 512), (2, 32, 1024, 1024), (2, 32, 1024, 1024)]
        colours = shapes(synthesis, ToRGB, lambda: synthesis(torch.randn(2, 18, 512)))
        assert colours == [(2, 3, size, size) for size in synthesis.sizes]
        blocks = shapes(
            discriminator, type(discriminator.blocks[0]), lambda: discriminator(torch.randn(2, 3, 1024, 1024))
        )
        assert blocks == [(2, min(32768 // s, 512), s, s) for s in synthesis.sizes[-2::-1]]


def shapes(network: nn.Module, kind: type[nn.Module], call: Any) -> list[tuple[int, ...]]:
    """The shapes of the results of all layers of a kind, in their order."""
    result: list[tuple[int, ...]] = []
    hooks = [
        m.register_forward_hook(lambda _m, _x, y: result.append(tuple(y.shape)))
        for m in network.modules()
        if isinstance(m, kind)
    ]
    call()
    for hook in hooks:
        hook.remove()
    return result


@pytest.mark.parametrize("resolution", [4, 28, 48, 100])
def test_other_sizes_are_refused(resolution: int) -> None:
    with pytest.raises(
        ValueError, match=f"images have {resolution} pixels a side, and must have a power of two"
    ):
        small(DataSpec(1, resolution))


# The generator.


def test_each_layer_has_its_own_style() -> None:
    """A style changes the image, and a last style the colours of the largest size alone."""
    synthesis = small().generator.synthesis
    ws, noises = torch.randn(1, 4, 6), [torch.randn(1, 1, s, s) for s in synthesis.noise_sizes]
    calls: list[list[bool]] = []
    for layer in range(4):
        other = ws.clone()
        other[:, layer] = torch.randn(1, 6)
        before, after = (features(synthesis, w, noises) for w in (ws, other))
        calls.append([not torch.allclose(a, b) for a, b in zip(before, after, strict=True)])
    # Columns: convolutions at 4, 8, 8 pixels, and colours at 4 and 8.
    assert calls == [
        [True, True, True, True, True],
        [False, True, True, True, True],
        [False, False, True, False, True],
        [False, False, False, False, True],
    ]


def features(synthesis: Synthesis, ws: Tensor, noises: list[Tensor]) -> list[Tensor]:
    values: dict[nn.Module, Tensor] = {}
    layers = [m for m in synthesis.modules() if isinstance(m, StyledConv)]
    layers += [m for m in synthesis.modules() if isinstance(m, ToRGB)]  # type: ignore[misc]
    hooks = [m.register_forward_hook(lambda m, _x, y: values.__setitem__(m, y.clone())) for m in layers]
    synthesis(ws, noises)
    for hook in hooks:
        hook.remove()
    return [values[m] for m in layers]


def test_a_layer_at_first_has_unit_second_moment() -> None:
    """Demodulation and the gain of the activation keep it, but for 4 % by the slope."""
    layer = StyledConv(16, 64, 64)
    x = torch.randn(8, 64, 16, 16)
    y = layer(x, torch.randn(8, 16))[:, :, 1:-1, 1:-1]
    assert y.square().mean().item() == pytest.approx(1.04, abs=0.06)


def test_noise_enters_with_its_strength() -> None:
    layer, x, w = StyledConv(4, 3, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 4)
    noise = torch.randn(2, 1, 4, 4)
    assert torch.equal(layer(x, w, noise), layer(x, w))
    layer.noise.strength.data.fill_(0.5)
    assert not torch.equal(layer(x, w, noise), layer(x, w))
    assert torch.equal(layer(x, w, noise), layer(x, w, noise))


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


def test_an_image_moves_with_fourier_features_but_not_a_constant() -> None:
    motion = Motion(torch.zeros(1), torch.tensor([[0.1, 0.0]]))
    for kind, moves in (("fourier", True), ("constant", False)):
        synthesis = small(input=kind).generator.synthesis
        ws, noises = torch.randn(1, 4, 6), [torch.zeros(1, 1, s, s) for s in synthesis.noise_sizes]
        assert torch.equal(synthesis(ws, noises), synthesis(ws, noises, motion)) != moves


# The discriminator.


def test_a_residual_block_keeps_the_second_moment() -> None:
    block = Discriminator(StyleGAN2Config(channel_base=512, channel_max=64), DataSpec(1, 16)).blocks[0]
    smooth = torch.randn(64, 32, 1, 1).expand(-1, -1, 16, 16)  # of noise the filter takes some away
    y = block(smooth)[:, :, 2:-2, 2:-2]
    assert y.square().mean().item() == pytest.approx(1, abs=0.25)


def test_classes_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="conditional=true needs labels"):
        small(DataSpec(1, 8), conditional=True)


# The losses.


class Linear(nn.Module):
    """Image = sum over layers and dimensions of w times a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(4 * 6, 64))

    def forward(self, ws: Tensor) -> Tensor:
        return (ws.flatten(1) @ self.matrix).view(-1, 1, 8, 8)


def test_path_lengths_of_a_linear_synthesis_are_those_of_its_matrix() -> None:
    network, ws = Linear(), torch.randn(5, 4, 6, requires_grad=True)
    torch.manual_seed(3)
    lengths = path_lengths(network(ws), ws)
    torch.manual_seed(3)
    y = torch.randn(5, 1, 8, 8).flatten(1) / 8  # J^T y, with the noise over sqrt(H W)
    jty = (y @ network.matrix.T).view(5, 4, 6)
    torch.testing.assert_close(lengths, jty.flatten(1).norm(dim=1) / math.sqrt(4))


@pytest.mark.parametrize("resolution", [8, 256, 1024])
def test_the_weight_of_path_lengths_is_the_papers(resolution: int) -> None:
    """2 / (r^2 L) = ln 2 / (r^2 (ln r - ln 2)), App. B."""
    styles = 2 * len(sizes_of(resolution))
    assert 2 / styles == pytest.approx(math.log(2) / (math.log(resolution) - math.log(2)))


def test_the_mean_path_length_moves_after_the_update() -> None:
    model = small(path_decay=0.25)
    model.path_mean.fill_(4.0)
    terms, observed = model.path_loss(images())
    lengths = observed["path_length"]
    assert lengths.shape == (2,) and float(model.path_mean) == 4.0  # half of the batch
    torch.testing.assert_close(terms["path"], 4 * 2.0 * (lengths - 4).square())
    model.after_path({"path_length": torch.tensor(8.0)})
    assert float(model.path_mean) == 5.0


def test_r1_is_weighted_by_its_interval() -> None:
    model = small(r1=3.0, r1_every=16, minibatch_stddev=0)
    batch = images()
    x = batch.image.requires_grad_()
    (slope,) = torch.autograd.grad(model.discriminator(x).sum(), x)
    expected = 16 * 3.0 / 2 * slope.square().flatten(1).sum(1)
    torch.testing.assert_close(model.r1_loss(batch)["r1"], expected)
    assert set(model.discriminator_loss(batch)[0]) == {"real", "fake"}


def test_r2_penalises_samples_in_the_same_phase() -> None:
    assert set(small(r2=1.0).r1_loss(images())) == {"r1", "r2"}


# Phases and optimizers.


def test_each_network_has_two_phases_that_share_an_optimizer() -> None:
    of_d, r1, of_g, path = small().phases
    assert [p.name for p in (of_d, r1, of_g, path)] == [
        "discriminator",
        "discriminator_r1",
        "generator",
        "generator_path",
    ]
    assert r1.optimizer is of_d.optimizer and path.optimizer is of_g.optimizer
    assert (of_d.every, r1.every, of_g.every, path.every) == (1, 16, 1, 4)
    assert [p.name for p in small(r1=0.0, path_weight=0.0).phases] == ["discriminator", "generator"]


def test_adam_is_corrected_for_lazy_phases() -> None:
    of_d, _, of_g, _ = small(lr=0.002, lr_discriminator=0.004, beta1=0.5).phases
    for phase, lr, k in ((of_d, 0.004, 16), (of_g, 0.002, 4)):
        (group,) = phase.optimizer.param_groups
        c = k / (k + 1)
        assert group["lr"] == pytest.approx(c * lr)
        assert group["betas"] == pytest.approx((0.5**c, 0.99**c))
    (group,) = small(r1=0.0, lr=0.002).phases[0].optimizer.param_groups
    assert group["lr"] == 0.002 and group["betas"] == (0.0, 0.99)


# Gamma.


def test_gamma_follows_the_rule_unless_it_is_set() -> None:
    settings = tiny.settings(batch=32, micro_batches=2)
    blocks = {"channel_base": 32, "width": 8, "latent": 8}
    family = build("stylegan2", blocks, DataSpec(3, 32), settings=settings)
    assert family.config.r1 == pytest.approx(0.0002 * 32**2 / 32)  # of all images of a step
    assert build("stylegan2", {**blocks, "r1": 5.0}, DataSpec(3, 32), settings=settings).config.r1 == 5
    assert family.changed({"lr": 0.001}).config.r1 == family.config.r1


def test_gamma_without_a_rule_is_asked_for() -> None:
    with pytest.raises(InputError, match="families.stylegan2: r1 is not set, and its rule"):
        build("stylegan2", {"loss": "hinge"}, CARD, settings=tiny.settings())


# Memory and precision.


def test_lower_resolutions_stay_in_float32() -> None:
    model, types = small(DataSpec(1, 16), bfloat16_resolutions=1), dict[str, torch.dtype]()
    for name, module in model.named_modules():
        if name.endswith((".conv", ".second")):
            module.register_forward_hook(lambda _m, _x, y, name=name: types.__setitem__(name, y.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model.discriminator(model.generator(torch.randn(2, 8)))
    low = {name for name, dtype in types.items() if dtype == torch.bfloat16}
    assert low == {"generator.synthesis.blocks.2.conv", "discriminator.blocks.0.second"}


def test_images_stay_channels_last() -> None:
    """Which the convolutions need: the memory format of the last features of each network."""
    model = small(DataSpec(1, 16)).to(memory_format=torch.channels_last)
    calls: list[bool] = []
    for module in (*model.generator.synthesis.blocks, *model.discriminator.blocks):
        module.register_forward_hook(
            lambda _m, _x, y: calls.append(
                (y[0] if isinstance(y, tuple) else y).is_contiguous(memory_format=torch.channels_last)
            )
        )
    model.discriminator(model.generator(torch.randn(2, 8)))
    assert calls == [True] * 5
