"""Discriminators: the score, statistics of the batch, and spectral normalisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from models.adversarial_config import AdversarialConfig
from models.parts.equalised import Equalised
from models.parts.layers import widened

Critic = Callable[[Tensor, Tensor | None], Tensor]
"""From images (N, C, H, W) and their labels to scores (N,)."""


class MinibatchDiscrimination(nn.Module):
    """The closeness of the other images of a batch: o(x_i)_b = sum over j != i of exp(-|M_i,b - M_j,b|_1).

    Salimans et al. 2016, Sec. 3.2, with M = T f(x), (N, kernels, dim).
    """

    def __init__(self, width: int, kernels: int, dim: int = 8):
        super().__init__()
        self.project = nn.Linear(width, kernels * dim, bias=False)
        self.kernels, self.width = kernels, kernels

    def forward(self, h: Tensor) -> Tensor:
        """(N, width) -> (N, kernels)."""
        m = self.project(h).float().unflatten(1, (self.kernels, -1)).permute(2, 1, 0)  # (dim, kernels, N)
        distance = m.new_zeros(())
        for row in m.contiguous():  # a single tensor would be dim times as large, and slower
            distance = distance + (row[:, :, None] - row[:, None]).abs()  # (kernels, N, N)
        return (-distance).exp().sum(2).T - 1  # without itself, exp(0)


def group_size(group: int, images: int) -> int:
    """Return the size of the groups in a shard of `images` images: `group`, or all images if fewer.

    Raises:
        ValueError: The images cannot be divided into such groups.
    """
    if images % min(group, images):
        raise ValueError(f"minibatch_stddev={group} must divide the {images} images of a micro-batch")
    return min(group, images)


class MinibatchStddev(nn.Module):
    """The standard deviation over a group, averaged over features. Karras et al. 2018, Sec. 3.

    The images of a group are N/G apart, as in the authors' code.
    """

    def __init__(self, group: int):
        super().__init__()
        self.group, self.width = group, 1

    def forward(self, h: Tensor) -> Tensor:
        """(N, F) -> (N, 1)."""
        size = group_size(self.group, len(h))
        groups = widened(h).unflatten(0, (size, -1))  # (G, N/G, F)
        deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean(1)  # (N/G,)
        return deviation.repeat(size)[:, None]


def batch_statistics(
    width: int, config: AdversarialConfig
) -> list[MinibatchDiscrimination | MinibatchStddev]:
    """Return the statistics of the batch that the settings ask for, of features (N, width)."""
    statistics: list[MinibatchDiscrimination | MinibatchStddev] = []
    if config.minibatch_discrimination:
        statistics.append(MinibatchDiscrimination(width, config.minibatch_discrimination))
    if config.minibatch_stddev:
        statistics.append(MinibatchStddev(config.minibatch_stddev))
    return statistics


class Discriminator(nn.Module):
    """One score from the features of an image and the statistics of its batch.

    Args:
        features: Network from images (N, C, H, W) to features (N, width).
        width: Number of features.
        config: Settings of the statistics.
        classes: Classes of the projection term <v_y, h>, Miyato & Koyama 2018, Eq. 3; 0: no such term.
    """

    def __init__(self, features: nn.Module, width: int, config: AdversarialConfig, classes: int = 0):
        super().__init__()
        self.features = features
        statistics = batch_statistics(width, config)
        self.statistics = nn.ModuleList(statistics)
        self.score = nn.Linear(width + sum(s.width for s in statistics), 1)
        self.project = nn.Embedding(classes, width) if classes else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x), (N,); its logit if the objective treats D as a probability."""
        h = self.features(x)
        score = self.score(torch.cat([h, *(statistic(h) for statistic in self.statistics)], 1)).squeeze(1)
        if self.project is not None:
            score = score + (self.project(label) * h).sum(1)
        return score.float()


def normalise_spectrally(network: nn.Module) -> None:
    """Divide every weight by an estimate of its largest singular value. Miyato et al. 2018, Eq. 8.

    A parametrization, unlike the older hook, can be deep-copied and keeps its vectors in the state. Layers
    in a network's attribute `free_layers` keep their weights.
    """
    free = {id(layer) for layer in getattr(network, "free_layers", ())}
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding) and id(module) not in free:
            # A residual branch that starts at zero would become 0 / 0. On "meta" there are no values.
            if not module.weight.is_meta and not module.weight.any():
                module.reset_parameters()
            parametrizations.spectral_norm(module)
        if isinstance(module, Equalised):
            parametrizations.spectral_norm(module)
            module.scale = module.gain  # the norm takes the place of He's constant
