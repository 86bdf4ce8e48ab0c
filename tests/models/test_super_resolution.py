"""Super-resolution, and what it has in common with inpainting."""

from __future__ import annotations

import pytest
import torch

from models.family import Batch
from models.parts.resizing import reduced
from tests.models.test_inpainting import build, images, sample


def test_a_source_is_taken_before_the_image() -> None:
    family, image = build("upscale", strength=0.2), images()
    result = sample(family, Batch(4, image, source=reduced(image, 4)))
    assert torch.equal(result, sample(family, Batch(4, image)))
    other = sample(family, Batch(4, image, source=reduced(image.flip(0), 4)))
    assert not torch.allclose(other, result, atol=1e-2)


@pytest.mark.parametrize("name", ["upscale", "inpaint"])
def test_both_learn_from_the_image_beside(name: str) -> None:
    family = build(name)
    (term,) = family.loss(Batch(4, images()))[0].values()
    term.mean().backward()
    stem = next(p for n, p in family.named_parameters() if n.endswith("stem.weight"))
    assert stem.grad is not None and stem.grad.flatten(2).norm(dim=(0, 2)).min() > 0
