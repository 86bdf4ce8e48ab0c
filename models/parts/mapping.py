"""From z and a class to w: StyleGAN's mapping network, style mixing and the truncation trick.

Karras, Laine & Aila 2019, A Style-Based Generator Architecture for Generative Adversarial Networks, Sec. 2,
3.1 and App. B, https://arxiv.org/abs/1812.04948.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from models.parts.equalised import EqualisedLinear
from models.parts.layers import without_autocast


def unit_second_moment(x: Tensor) -> Tensor:
    """Return x / sqrt(E[x^2] + 1e-8), the mean being over a row's features. Karras et al. 2018, Sec. 4.2."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """w = f(z, y): dense layers with leaky ReLU on normalised z and embedded class y, and the mean of w.

    The buffer `mean` is an exponential moving average over the batches seen in training mode.

    Args:
        latent: Dimensions of z; 0: of the class alone, as ADA's discriminator needs.
        width: Dimensions of w and of the hidden layers.
        depth: Number of layers.
        num_classes: 0: unconditional.
        lr_multiplier: Learning rate relative to the other layers' (App. B: 0.01).
        mean_decay: Weight of the old mean in an update.
    """

    mean: Tensor | None

    def __init__(
        self,
        latent: int,
        width: int,
        depth: int,
        num_classes: int = 0,
        *,
        lr_multiplier: float = 0.01,
        mean_decay: float = 0.995,
    ):
        super().__init__()
        self.latent, self.width, self.num_classes, self.mean_decay = latent, width, num_classes, mean_decay
        self.embed = EqualisedLinear(num_classes, width) if num_classes else None
        layer = functools.partial(EqualisedLinear, activation=True, lr_multiplier=lr_multiplier)
        inputs = latent + (width if num_classes else 0)
        self.layers = nn.Sequential(layer(inputs, width), *(layer(width, width) for _ in range(depth - 1)))
        self.register_buffer("mean", torch.zeros(width) if latent else None)

    def forward(self, z: Tensor | None, label: Tensor | None = None) -> Tensor:
        """From z (N, latent) and labels (N,) to w (N, width), without autocast."""
        tensor = label if z is None else z
        assert tensor is not None
        with without_autocast(tensor):  # a small network
            inputs = [] if z is None else [unit_second_moment(z)]
            if self.embed is not None:
                assert label is not None, "the network is conditional"
                y = one_hot(label, self.num_classes).to(self.embed.weight.dtype)
                inputs.append(unit_second_moment(self.embed(y)))
            w = self.layers(torch.cat(inputs, 1))
        if self.training and self.mean is not None:
            with torch.no_grad():
                self.mean.lerp_(w.detach().mean(0), 1 - self.mean_decay)
        return w


def mixed(w: Tensor, other: Tensor, layers: int, probability: float) -> Tensor:
    """Style mixing: with this probability an image has `other` styles from a random layer on. Sec. 3.1.

    Args:
        w: (N, width).
        other: (N, width).
        layers: L, the number of styles of an image.
        probability: Of mixing, for each image.

    Returns:
        (N, L, width).
    """
    first = torch.randint(1, max(layers, 2), (len(w), 1), device=w.device)  # the first layer with `other`
    apart = torch.rand(len(w), 1, device=w.device) < probability
    takes_other = apart & (torch.arange(layers, device=w.device) >= first)  # (N, L)
    return torch.where(takes_other[:, :, None], other[:, None], w[:, None])


def truncated(w: Tensor, mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Truncation trick: mean + psi (w - mean) for the first `cutoff` layers. App. B.

    Args:
        w: (N, L, width).
        mean: The centre, (width,) or (N, width).
        psi: 1: w as it is; 0: the mean.
        cutoff: None: all layers.
    """
    centre = mean[..., None, :].to(w.dtype)
    near = centre + psi * (w - centre)
    return near if cutoff is None else torch.cat([near[:, :cutoff], w[:, cutoff:]], 1)
