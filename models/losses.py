"""Adversarial losses, value by value, on the logits of a discriminator D.

In logits, -log D is softplus(-logit) and -log(1 - D) is softplus(logit): no logarithm of a rounded sigmoid.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def real_is_real(logit: Tensor) -> Tensor:
    """-log D(x), the discriminator's loss on images. Goodfellow et al. 2014, Eq. 1."""
    return softplus(-logit.float())


def fake_is_fake(logit: Tensor) -> Tensor:
    """-log(1 - D(G(z))), the discriminator's loss on samples. Goodfellow et al. 2014, Eq. 1."""
    return softplus(logit.float())


def non_saturating(logit: Tensor) -> Tensor:
    """-log D(G(z)), the generator's loss; it still learns where D is sure. Goodfellow et al. 2014, Sec. 3."""
    return softplus(-logit.float())
