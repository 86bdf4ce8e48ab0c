"""What each family must do for any card, without the trainer."""

from __future__ import annotations

import ast
import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import models
from models import autoencoder
from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Family, Noise, Terms
from models.registry import FAMILIES

CARDS = [DataSpec(1, 28, 10), DataSpec(3, 32), DataSpec(3, 64, 5), DataSpec(1, 8, 3), DataSpec(3, 15)]
SMALL = {
    "dcgan": {"width": 8, "latent": 8},
    **{
        name: {"width": 16, "sampler_steps": 3}
        for name in ("diffusion", "super_resolution", "palette", "inpainting", "latent_diffusion")
    },
    "kl_vae": {"width": 16},
    "vqvae": {"width": 16},
    "stylegan": {"latent": 8, "width": 8, "mapping_depth": 2, "channel_base": 64},
    "stylegan2": {"latent": 8, "width": 8, "mapping_depth": 2, "channel_base": 64, "r1": 1.0},
    "stylegan3": {"latent": 8, "width": 8, "channel_base": 64, "layers": 4, "margin": 4, "r1": 1.0},
    "pix2pix": {"width": 4, "patch": "image"},
    "cyclegan": {"width": 4, "patch": "image", "blocks": 2, "identity": 0.0},
    "rrdb": {"width": 8, "growth": 4, "blocks": 1},
    "esrgan": {"width": 4, "perceptual": 0.0},
}
POWERS_OF_TWO = ("stylegan", "stylegan2", "stylegan3")  # families of images of such sizes
DETERMINISTIC = ("reconstruct", "translate_unpaired")  # tasks whose samples do not depend on noise
EVERY = pytest.mark.parametrize("name", FAMILIES)


def fitting(name: str, card: DataSpec) -> DataSpec:
    """The card, as the family needs it: with sources of the size of its images, or a power of two in size."""
    if name in POWERS_OF_TWO:
        card = dataclasses.replace(card, resolution=max(8, 1 << (card.resolution.bit_length() - 1)))
    source = SourceShape(3, card.resolution)
    return dataclasses.replace(card, source=source) if "source" in FAMILIES[name].needs else card


def build(name: str, card: DataSpec, **changes: object) -> Family:
    torch.manual_seed(0)
    card = fitting(name, card)
    family = FAMILIES[name](
        FAMILIES[name].Config(**{**SMALL.get(name, {}), **changes}), card, below(name, card)
    )
    for p in family.parameters():  # residual branches start at zero: then little could go wrong
        p.data += 0.02 * torch.randn_like(p)
    return family


def below(name: str, card: DataSpec) -> dict[str, nn.Module]:
    """What a family builds on, untrained."""
    return {called: build(of[0], card).generator for called, of in FAMILIES[name].upstream.items()}


def batch(card: DataSpec, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(n) % card.num_classes if card.num_classes else None
    shapes = [card.shape, *([card.source.shape] if card.source else [])]
    image, *source = (torch.rand(n, *shape, generator=generator) * 2 - 1 for shape in shapes)
    return Batch(n, image, label, *source)


def sample(family: Family, inputs: Batch, seeds: range) -> Tensor:
    with torch.inference_mode():
        return family.eval().generator.sample(inputs, Noise(seeds))


def terms_of(family: Family, index: int, inputs: Batch) -> Terms:
    result = family.phases[index].loss(inputs)
    return result[0] if isinstance(result, tuple) else result


@EVERY
@pytest.mark.parametrize("card", CARDS, ids=lambda c: f"{c.channels}x{c.resolution}-{c.num_classes}")
def test_networks_size_themselves_to_the_card(name: str, card: DataSpec) -> None:
    if "label" in FAMILIES[name].needs and not card.num_classes:
        card = dataclasses.replace(card, num_classes=4)
    if name in ("rrdb", "esrgan") and card.resolution % 2:  # no multiple of a source
        card = dataclasses.replace(card, resolution=card.resolution + 1)
    card = fitting(name, card)
    family = build(name, card)
    images = sample(family, batch(card), range(4))
    assert images.shape == (4, *card.shape) and images.dtype == torch.float32
    assert images.isfinite().all() and images.abs().max() <= 1 and images.std() > 0


@EVERY
def test_an_image_depends_on_its_own_seed_and_condition(name: str) -> None:
    card = fitting(name, DataSpec(1, 12, 3))
    family = build(name, card)
    inputs = batch(card, 6)
    whole = sample(family, inputs, range(6))
    parts = [sample(family, inputs[i : i + 2], range(i, i + 2)) for i in (0, 2, 4)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)
    again = sample(family, inputs, range(10, 16))
    assert torch.equal(again, whole) == (family.task in DETERMINISTIC or name in ("rrdb", "esrgan"))


@EVERY
def test_losses_and_gradients_stay_finite_in_bfloat16(name: str) -> None:
    card = fitting(name, DataSpec(1, 12, 3))
    family = build(name, card)
    for index, phase in enumerate(family.phases):
        with torch.autocast("cpu", torch.bfloat16):
            terms = terms_of(family, index, batch(card))
        assert all(term.dtype == torch.float32 and term.isfinite().all() for term in terms.values())
        family.zero_grad()
        torch.stack([term.mean() for term in terms.values()]).sum().backward()
        gradients = [p.grad for p in phase.parameters]
        # A penalty, which no last bias affects; or networks that grow, whose other resolutions rest.
        if (phase.plays == phase.name and len(family.phases) > 2) or name == "stylegan":
            gradients = [g for g in gradients if g is not None]
        assert gradients and all(g is not None and g.isfinite().all() for g in gradients)


@EVERY
def test_every_parameter_belongs_to_one_optimizer(name: str) -> None:
    family = build(name, CARDS[0])
    owned = [id(p) for o in family.optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in family.parameters() if p.requires_grad)


@EVERY
def test_configs_are_closed_and_survive_json(name: str) -> None:
    kind = FAMILIES[name].Config
    config = kind(**SMALL.get(name, {}))
    assert kind.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="unknown_key"):
        kind(unknown_key=1)
    with pytest.raises(ValidationError, match="frozen"):
        config.lr = 1.0


@EVERY
def test_weights_survive_a_round_trip(name: str) -> None:
    family, other = build(name, CARDS[0]), build(name, CARDS[0])
    for p in other.generator.parameters():
        p.data.zero_()
    other.generator.load_state_dict(family.generator.state_dict())
    inputs = batch(fitting(name, CARDS[0]), 2)
    assert torch.equal(sample(family, inputs, range(2)), sample(other, inputs, range(2)))


@pytest.mark.parametrize(("name", "key", "value"), [
    ("autoencoder", "latent", 64),
    ("vae", "latent", 64),
    ("diffusion", "space_to_depth", 3),
])  # fmt: skip
def test_settings_that_do_not_fit_the_images_are_refused(name: str, key: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{key}={value} must"):
        build(name, DataSpec(1, 8), **{key: value})


def test_the_autoencoder_is_784_256_128_32_and_back() -> None:
    dense = [m for m in build("autoencoder", CARDS[0]).modules() if isinstance(m, nn.Linear)]
    sizes = [784, 256, 128, 32, 128, 256, 784]
    assert [(m.in_features, m.out_features) for m in dense] == list(zip(sizes, sizes[1:], strict=False))


def test_the_autoencoder_reconstructs() -> None:
    """With identity layers the image comes back, but for the tanh."""
    card = DataSpec(1, 2)
    family = autoencoder.Autoencoder(autoencoder.AutoencoderConfig(latent=3, widths=()), card)
    for m in family.modules():
        if isinstance(m, nn.Linear):
            nn.init.eye_(m.weight)
            nn.init.zeros_(m.bias)
    x = torch.tensor([0.5, -0.5, 0.25, 0.0]).view(1, 1, 2, 2)
    torch.testing.assert_close(sample(family, Batch(1, x), range(1)), x.tanh())
    expected = (x - x.tanh()).square().mean()
    torch.testing.assert_close(terms_of(family, 0, Batch(1, x))["mse"], expected)


def test_dcgan_judges_images_and_samples_apart() -> None:
    """BatchNorm of D must not see a mixture of the two."""
    family = build("dcgan", DataSpec(1, 12))
    calls: list[int] = []
    family.get_submodule("discriminator").register_forward_hook(lambda m, i, o: calls.append(len(i[0])))
    terms_of(family, 0, batch(DataSpec(1, 12)))
    assert calls == [4, 4]


def test_beta_weighs_the_divergence_alone() -> None:
    terms = []
    for beta in (1.0, 3.0):
        family = build("vae", DataSpec(1, 8), beta=beta)
        torch.manual_seed(1)
        terms.append(terms_of(family, 0, batch(DataSpec(1, 8))))
    assert torch.equal(terms[0]["reconstruction"], terms[1]["reconstruction"])
    torch.testing.assert_close(3 * terms[0]["kl"], terms[1]["kl"])


def test_the_dcgan_generator_wants_its_samples_believed() -> None:
    family = build("dcgan", DataSpec(1, 8))
    score, observed = family.phases[1].loss(batch(DataSpec(1, 8)))
    torch.testing.assert_close(score["score"], -observed["D(G(z))"].log())


def test_models_need_torch_and_pydantic_only() -> None:
    allowed = {"torch", "pydantic", "models", *sys.stdlib_module_names}
    for file in Path(models.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file.name
