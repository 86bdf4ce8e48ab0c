"""Adversarial losses on logits D, value by value. softplus(-D) is -log sigmoid(D); softplus(D), -log(1 - sigmoid(D))."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def real_is_real(real: Tensor) -> Tensor:
    """-log D(x): the discriminator's loss on real images. Goodfellow et al. 2014, Eq. 1."""
    return softplus(-real.float())


def fake_is_fake(fake: Tensor) -> Tensor:
    """-log(1 - D(G(z))): the discriminator's loss on generated images. Goodfellow et al. 2014, Eq. 1."""
    return softplus(fake.float())


def non_saturating(fake: Tensor) -> Tensor:
    """-log D(G(z)): the generator's loss, with a gradient where D is sure. Goodfellow et al. 2014, Sec. 3."""
    return softplus(-fake.float())
