"""Diffusion that is told an image: super-resolution and inpainting."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from models.data_spec import DataSpec
from models.diffusion import Diffusion
from models.family import Batch, Noise
from models.inpainting import Inpainting, InpaintingConfig, holes
from models.parts.conditions import Condition
from models.super_resolution import SuperResolution, SuperResolutionConfig, reduced

CARD = DataSpec(3, 16)


def build(name: str, card: DataSpec = CARD, **changes: object) -> Diffusion:
    torch.manual_seed(0)
    settings = {"width": 16, "sampler_steps": 3, **changes}
    if name == "upscale":
        family: Diffusion = SuperResolution(SuperResolutionConfig(**settings), card)  # type: ignore[arg-type]
    else:
        family = Inpainting(InpaintingConfig(**settings), card)  # type: ignore[arg-type]
    for p in family.parameters():
        p.data += 0.02 * torch.randn_like(p)
    return family


def images(n: int = 4, card: DataSpec = CARD) -> Tensor:
    return torch.rand(n, *card.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def sample(family: Diffusion, inputs: Batch, seeds: range = range(4)) -> Tensor:
    with torch.inference_mode():
        return family.eval().generator.sample(inputs, Noise(seeds))


@pytest.mark.parametrize("name", ["upscale", "inpaint"])
def test_what_is_to_be_found_is_never_seen(name: str) -> None:
    """Two images that look the same small, or around the hole, give the same sample."""
    family = build(
        name, **({"strength": 0.5} if name == "upscale" else {})
    )  # from a noised image, the small one
    if name == "upscale":
        small = reduced(images(), 4)
        one, other = Batch(4, images(), source=small), Batch(4, -images(), source=small)
    else:
        mask = holes(Noise(range(4)), 16, 0.3, 0.7)
        one = Batch(4, images(), mask=mask)
        other = dataclasses.replace(one, image=torch.where(mask > 0, -images(), images()))
    assert torch.equal(sample(family, one), sample(family, other))


def test_outside_the_hole_nothing_changes_and_inside_it_does() -> None:
    family, mask = build("inpaint"), holes(Noise(range(4)), 16, 0.3, 0.7)
    inside = mask.expand(4, 3, 16, 16) > 0
    result = sample(family, Batch(4, images(), mask=mask))
    assert torch.equal(result[~inside], images()[~inside])
    assert not torch.isclose(result[inside], images()[inside]).any()


@pytest.mark.parametrize("pixels", ["hole", "all"])
def test_the_loss_covers_the_hole_or_the_whole_image(pixels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = build("inpaint", loss_pixels=pixels)
    network, noise = family.generator.network, [torch.zeros(())]
    calls: list[Tensor] = []

    def disturbed(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert condition.image is not None
        mask = condition.image[:, -1:]
        calls.append(mask)
        return torch.zeros_like(x) + noise[0] * (mask if inside else 1 - mask)

    monkeypatch.setattr(network, "forward", disturbed)

    def loss() -> Tensor:
        torch.manual_seed(0)
        return family.loss(Batch(4, images()))[0]["velocity"]

    inside = False
    before, noise[0] = loss(), torch.tensor(3.0)
    assert torch.equal(loss(), before) == (pixels == "hole")
    inside, noise[0] = True, torch.tensor(0.0)
    before, noise[0] = loss(), torch.tensor(3.0)
    assert not torch.isclose(loss(), before).any()
    assert torch.equal(calls[0], calls[1])


def test_a_loss_over_the_hole_is_a_mean_over_its_pixels() -> None:
    family, mask = build("inpaint", loss_pixels="hole"), holes(Noise(range(4)), 16, 0.3, 0.7)
    error = torch.where(mask > 0, 2.0, 5.0).expand(4, 3, 16, 16)
    assert family.per_image(error, Batch(4, images(), mask=mask)).tolist() == pytest.approx([2.0] * 4)


def test_holes_are_rectangles_of_their_sizes_anywhere() -> None:
    mask = holes(Noise(range(400)), 20, 0.3, 0.7)
    assert mask.shape == (400, 1, 20, 20) and set(mask.unique().tolist()) == {0.0, 1.0}
    rows, columns = mask.amax(3).sum(2).flatten(), mask.amax(2).sum(2).flatten()
    assert torch.equal(mask.sum((1, 2, 3)), rows * columns)
    for side in (rows, columns):
        assert side.min() >= 4 and side.max() <= 15
        assert float(side.mean()) == pytest.approx(9.5, abs=0.6)
    assert mask.mean(0).min() > 0, "every pixel is hidden now and then"


def test_a_hole_is_its_own_images() -> None:
    family = build("inpaint")
    together = sample(family, Batch(4, images()))
    alone = sample(family, Batch(2, images()[1:3]), range(1, 3))
    torch.testing.assert_close(together[1:3], alone, rtol=1e-4, atol=1e-4)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="scale=3 must divide the resolution, 16"):
        build("upscale", scale=3)
    with pytest.raises(ValidationError, match="smallest=0.8 must not be above largest=0.7"):
        InpaintingConfig(smallest=0.8)
    with pytest.raises(ValueError, match="the mask has 8x8 pixels and the image 16x16"):
        sample(build("inpaint"), Batch(4, images(), mask=torch.ones(4, 1, 8, 8)))
