"""PatchGAN, a discriminator with a score for each patch of an image.

Isola et al. 2017, Sec. 3.2.2 and App. 6.1.2, https://arxiv.org/abs/1611.07004. Its convolutions are 4 x 4, n
that halve the image and two that do not, so that a score depends on 9 * 2^n - 2 pixels a side: 16, 34, 70,
142 or 286. For patches of a single pixel all of them are 1 x 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from models.adversarial_config import AdversarialConfig
from models.parts.discriminator import batch_statistics

Patch = Literal[1, 16, 34, 70, 142, 286, "image"]
"""Pixels a side on which a score depends; image: the first from 16 on that covers the whole image."""


def covered(halvings: int) -> int:
    """Return the pixels a side on which a score depends after a number of halvings, at least one."""
    return 9 * 2**halvings - 2


def num_halvings(patch: Patch, resolution: int) -> int:
    """Return the number of halving convolutions that give a patch; 0 for a single pixel.

    Raises:
        ValueError: Fewer than the 3 pixels a side that the last two convolutions need would remain.
    """
    if patch == 1:
        return 0
    sizes = ((n, covered(n)) for n in itertools.count(1))
    n = next(n for n, pixels in sizes if pixels >= (resolution if patch == "image" else patch))
    if resolution >> n < 3:
        least = 3 << n
        raise ValueError(
            f"patch={patch} must have images of {least} pixels or more, and these have {resolution}"
        )
    return n


def with_statistics(h: Tensor, statistics: nn.ModuleList) -> Tensor:
    """Concatenate features (N, C, H, W) and planes of the statistics of their means over positions."""
    if not statistics:
        return h
    pooled = h.mean((2, 3))
    planes = torch.cat([statistic(pooled) for statistic in statistics], 1)[:, :, None, None]
    return torch.cat([h, planes.expand(-1, -1, *h.shape[2:]).to(h.dtype)], 1)


class PatchDiscriminator(nn.Module):
    """A score for each patch, (N, H', W'); its logit if the objective treats D as a probability.

    For a patch of 70, C64-C128-C256-C512 and a convolution to one channel, with LeakyReLU, and normalisation
    after all but the first. Statistics of the batch (minibatch_discrimination, minibatch_stddev) are of the
    features' means over positions, and enter the last convolution as planes.

    Args:
        channels: Channels of its input.
        resolution: Pixels a side of its input.
        patch: Pixels a side on which a score depends.
        width: Channels of the first feature map; doubled at each convolution, up to eight times.
        norm: Makes the normalisation; None: none.
        config: Settings of the statistics.
    """

    def __init__(
        self,
        channels: int,
        resolution: int,
        patch: Patch,
        *,
        width: int,
        norm: Callable[[int], nn.Module] | None,
        config: AdversarialConfig,
    ):
        super().__init__()
        halvings = num_halvings(patch, resolution)
        kernel, padding = (4, 1) if halvings else (1, 0)
        strides = [2] * halvings + [1] if halvings else [1, 1]
        layers: list[nn.Module] = []
        before = channels
        for i, stride in enumerate(strides):
            after, normed = width * min(2**i, 8), norm is not None and i > 0
            # A bias before BatchNorm has no effect; InstanceNorm subtracts it as well.
            layers.append(nn.Conv2d(before, after, kernel, stride, padding, bias=not normed))
            layers += [norm(after)] if norm is not None and i > 0 else []
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.features = nn.Sequential(*layers)
        statistics = batch_statistics(before, config)
        self.statistics = nn.ModuleList(statistics)
        self.score = nn.Conv2d(before + sum(s.width for s in statistics), 1, kernel, 1, padding)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, H', W'); the label is not used."""
        h = with_statistics(self.features(x), self.statistics)
        return self.score(h).squeeze(1).float()
