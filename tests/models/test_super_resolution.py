"""Super-resolution, and what it has in common with inpainting."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from models.diffusion import Diffusion
from models.family import Batch, Card, Noise
from models.inpainting import Inpainting, InpaintingConfig
from models.super_resolution import SuperResolution, SuperResolutionConfig, enlarged, reduced

CARD = Card(3, 16)


def build(name: str, card: Card = CARD, **changes: object) -> Diffusion:
    torch.manual_seed(0)
    settings = {"width": 16, "sampler_steps": 3, **changes}
    if name == "upscale":
        family: Diffusion = SuperResolution(SuperResolutionConfig(**settings), card)  # type: ignore[arg-type]
    else:
        family = Inpainting(InpaintingConfig(**settings), card)  # type: ignore[arg-type]
    for p in family.parameters():
        p.data += 0.02 * torch.randn_like(p)
    return family


def images(n: int = 4, card: Card = CARD) -> Tensor:
    return torch.rand(n, *card.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def sample(family: Diffusion, given: Batch, seeds: range = range(4)) -> Tensor:
    with torch.inference_mode():
        return family.eval().generator.sample(given, Noise(seeds))


def test_a_small_image_is_the_mean_of_smooth_ones_and_has_no_aliases() -> None:
    smooth = enlarged(images()[:, :, :4, :4], 16)
    torch.testing.assert_close(reduced(smooth, 4), avg_pool2d(smooth, 4), rtol=0, atol=0.16)
    stripes = torch.ones(1, 1, 16, 16)
    stripes[..., ::2] = -1  # too fine for 4 pixels: grey is all that can be said of them
    assert float(reduced(stripes, 4)[..., 1:-1].abs().max()) < 0.1
    flat = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(enlarged(reduced(flat, 4), 16), flat)


def test_a_source_is_taken_before_the_image() -> None:
    family, image = build("upscale", strength=0.2), images()
    told = sample(family, Batch(4, image, source=reduced(image, 4)))
    assert torch.equal(told, sample(family, Batch(4, image)))
    other = sample(family, Batch(4, image, source=reduced(image.flip(0), 4)))
    assert not torch.allclose(other, told, atol=1e-2)


@pytest.mark.parametrize("name", ["upscale", "inpaint"])
def test_both_learn_from_the_image_beside(name: str) -> None:
    family = build(name)
    (term,) = family.loss(Batch(4, images()))[0].values()
    term.mean().backward()
    stem = next(p for n, p in family.named_parameters() if n.endswith("stem.weight"))
    assert stem.grad is not None and stem.grad.flatten(2).norm(dim=(0, 2)).min() > 0
