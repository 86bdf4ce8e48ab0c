"""CycleGAN: its networks, its losses by hand, its pools and its directions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from models.cyclegan import CycleGAN, CycleGANConfig, Residual, Translator, num_blocks
from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Noise
from tests import tiny

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(1, 16, source=SourceShape(1, 16))


def cyclegan(card: DataSpec = CARD, **settings: Any) -> CycleGAN:
    return CycleGAN(CycleGANConfig(**{"width": 4, "patch": 16, "jitter": 0.0, **settings}), card)


# Networks.


def test_the_generators_are_the_paper_s() -> None:
    """App. 7.2: c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3; 11.4 million parameters."""
    with torch.device("meta"):
        network = Translator(3, 3, 256, CycleGANConfig())
    layers = [m for m in network.layers if not isinstance(m, nn.InstanceNorm2d | nn.ReLU | nn.Tanh)]
    kinds = [
        ("R", 0, 0) if isinstance(m, Residual) else (type(m).__name__[:5], m.out_channels, m.kernel_size[0])  # type: ignore[union-attr, index]
        for m in layers
    ]
    down = [("Conv2", 64, 7), ("Conv2", 128, 3), ("Conv2", 256, 3)]
    up = [("ConvT", 128, 3), ("ConvT", 64, 3), ("Conv2", 3, 7)]
    assert kinds == [*down, *[("R", 0, 0)] * 9, *up]
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(11.38e6, rel=0.005)
    padded = [m.padding_mode for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert padded == ["reflect", "zeros", "zeros", *["reflect"] * 19]


@pytest.mark.parametrize(("resolution", "blocks"), [(32, 2), (64, 6), (128, 6), (256, 9), (512, 9)])
def test_larger_images_have_more_blocks(resolution: int, blocks: int) -> None:
    assert num_blocks(CycleGANConfig(), resolution) == blocks
    assert num_blocks(CycleGANConfig(blocks=3), resolution) == 3


@pytest.mark.parametrize("resolution", [8, 15, 28, 33])
def test_images_keep_their_size(resolution: int) -> None:
    network = Translator(3, 1, resolution, CycleGANConfig(width=4))
    assert network(torch.zeros(2, 3, resolution, resolution)).shape == (2, 1, resolution, resolution)


def test_weights_are_drawn_as_in_the_paper() -> None:
    for m in cyclegan(width=32).modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            assert float(m.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
            assert m.bias is None or not m.bias.any()


@pytest.mark.parametrize(("card", "settings", "match"), [
    (DataSpec(1, 16, source=SourceShape(1, 8)), {}, "have 8 pixels a side and images 16; they must agree"),
    (DataSpec(1, 7, source=SourceShape(1, 7)), {}, "they must have 8 or more"),
    (DataSpec(1, 16, source=SourceShape(3, 16)), {}, "sources are in colour and images grey; .* identity: 0"),
])  # fmt: skip
def test_domains_that_do_not_fit_are_refused(card: DataSpec, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        cyclegan(card, **settings)


# Losses.


def test_identity_translators_have_no_cycle_and_no_identity_loss() -> None:
    family = cyclegan()
    family.generator.G = family.generator.F = nn.Identity()  # type: ignore[assignment]
    terms, _ = family.generator_loss(tiny.noise_with_sources(4, CARD))
    assert not terms["cycle"].any() and not terms["identity"].any()
    assert "identity" not in cyclegan(identity=0.0).generator_loss(tiny.noise_with_sources(4, CARD))[0]


class Scaled(nn.Module):
    """A network that multiplies by a number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        return self.factor * x


def test_both_losses_by_hand() -> None:
    """With G and F that multiply by 2 and -3, and D_X and D_Y that multiply by 0.5 and 0.25."""
    family, batch = cyclegan(cycle=7.0, identity=0.4, pool=0), tiny.noise_with_sources(4, CARD)
    x, y = batch.source, batch.image
    assert x is not None and y is not None
    family.generator.G, family.generator.F = Scaled(2.0), Scaled(-3.0)  # type: ignore[assignment]
    family.discriminator.X, family.discriminator.Y = Scaled(0.5), Scaled(0.25)  # type: ignore[assignment]
    terms, _ = family.generator_loss(batch)
    expected = {
        "score": (0.25 * 2 * x - 1).square() + (0.5 * -3 * y - 1).square(),
        "cycle": 7 * 7 * (x.abs() + y.abs()).mean((1, 2, 3)),
        "identity": 7 * 0.4 * (1 * y.abs() + 4 * x.abs()).mean((1, 2, 3)),
    }
    torch.testing.assert_close({k: v.detach() for k, v in terms.items()}, expected)
    terms, observed = family.discriminator_loss(batch)
    expected = {
        "real_X": (0.5 * x - 1).square() / 2,
        "fake_X": (0.5 * -3 * y).square() / 2,
        "real_Y": (0.25 * y - 1).square() / 2,
        "fake_Y": (0.25 * 2 * x).square() / 2,
    }
    torch.testing.assert_close({k: v.detach() for k, v in terms.items()}, expected)
    torch.testing.assert_close(observed["D(x)"].detach(), (0.5 * x.mean() + 0.25 * y.mean()) / 2)


def test_generators_are_updated_first() -> None:
    assert [phase.name for phase in cyclegan().phases] == ["generator", "discriminator"]


def test_the_discriminators_learn_from_the_samples_of_the_generators_update() -> None:
    """As in the authors' code: the same crops and samples, even if G has changed; in a new step others."""
    family, batch = cyclegan(pool=0, jitter=0.3), tiny.noise_with_sources(4, CARD)
    judged: list[torch.Tensor] = []
    family.discriminator.Y.register_forward_hook(lambda m, args, out: judged.append(args[0].detach()))
    family.begin(0)
    family.generator_loss(batch)
    with torch.no_grad():
        family.generator.G.layers[0].weight.mul_(2)  # type: ignore[operator, union-attr]
    family.discriminator_loss(batch)
    by_generators, _, fake = judged
    assert torch.equal(fake, by_generators)
    family.generator_loss(batch)
    family.begin(1)
    family.discriminator_loss(batch)
    assert not torch.equal(judged[-1], judged[-3])


# Pools.


def test_pools_change_in_the_phase_of_the_discriminators_alone() -> None:
    """Each update adds its samples, 4 in each of 2 shards, which have pools of their own."""
    trainer, log = tiny.run("cyclegan", tiny.settings(steps=1, checkpoint_every=1))
    shards = log.saved[1]["shards"]
    assert [int(shards[s]["discriminator.pool_Y.count"]) for s in (0, 1)] == [4, 4]
    a, b = (shards[s]["discriminator.pool_Y.images"] for s in (0, 1))
    assert not torch.equal(a, b) and a[:4].any() and not a[4:].any()
    batch = trainer.place(Batch(2, torch.zeros(2, 1, 8, 8), source=torch.zeros(2, 3, 8, 8)))
    before = copy.deepcopy(trainer.buffers.state())
    trainer.update(0, trainer.family.phases[0], [batch, batch])
    assert tiny.equal(trainer.buffers.state(), before)


def test_the_discriminator_sees_samples_of_the_past() -> None:
    family, batch = cyclegan(pool=4), tiny.noise_with_sources(4, CARD)
    family.discriminator_loss(batch)
    past = family.discriminator.pool_Y.images.clone()
    calls: list[torch.Tensor] = []
    family.discriminator.Y.register_forward_hook(lambda m, args, out: calls.append(args[0]))
    family.discriminator_loss(tiny.noise_with_sources(4, CARD))
    matches = [any(torch.equal(fake, old) for old in past) for fake in calls[1]]
    assert any(matches) and not all(matches)


# Directions.


def test_samples_lead_either_way() -> None:
    family, batch = cyclegan(), tiny.noise_with_sources(4, CARD)
    sources = Batch(4, source=batch.source)
    generator = family.eval().generator
    with torch.no_grad():
        assert torch.equal(generator.sample(sources, Noise(range(4))), generator.G(batch.source))
        images, noise = Batch(4, source=batch.image), Noise(range(4))
        assert torch.equal(generator.backward(images, noise), generator.F(batch.image))
        there, back = generator.G(batch.source), generator.F(batch.image)
        assert torch.equal(generator.forward_cycle(sources, noise), generator.F(there))
        assert torch.equal(generator.backward_cycle(images, noise), generator.G(back))
