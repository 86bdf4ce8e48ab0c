"""Layers, shapes and optimizers that families share, and BatchNorm's statistics."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import AdamW, Optimizer, RMSprop

from models.family import Batch, Generator, Noise

Kind = TypeVar("Kind", bound=Optimizer)

GUARDED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def lean(optimizer: type[Kind]) -> type[Kind]:
    """Return a subclass of an optimizer without torch's wrappers for compiled steps.

    We do not compile, and the first call of a wrapper imports the compiler, which costs every training
    process 1.2 s and 150 MB.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(optimizer, name)) for name in GUARDED}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


Adam, RMSProp = lean(AdamW), lean(RMSprop)


def adam(
    *modules: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,  # decoupled, Loshchilov & Hutter 2019; at 0 this is plain Adam
) -> Optimizer:
    """Return Adam, Kingma & Ba 2015, for the trainable parameters of `modules`, fused into one kernel."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return Adam(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def halvings(resolution: int, smallest: int = 3) -> list[int]:
    """Return sizes of feature maps, halved (rounding down) while `smallest` pixels remain: 28, 14, 7, 3."""
    sizes = [resolution]
    while sizes[-1] // 2 >= smallest:
        sizes.append(sizes[-1] // 2)
    return sizes


def shapes(
    resolution: int, width: int, max_width: int, channels: int | None = None
) -> tuple[list[int], list[int]]:
    """Return sizes and channels of feature maps: 28, 14, 7, 3 and 32, 64, 128, 256.

    Args:
        resolution: Size of the first map.
        width: Channels of the first map, doubled at each halving.
        max_width: Largest number of channels.
        channels: Channels of the image, which then counts as the first map: 1, 32, 64, 128.
    """
    sizes = halvings(resolution)
    image = [] if channels is None else [channels]
    return sizes, image + [min(width * 2**i, max_width) for i in range(len(sizes) - len(image))]


def down(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    """A convolution that halves a feature map, rounding down."""
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias)


def up(before: int, after: int, size: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles a feature map to `size` pixels, which may be odd."""
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, output_padding=size % 2, bias=bias)


@torch.no_grad()
def normal_weights(module: nn.Module) -> None:
    """Draw a layer's weights from N(0, 0.02^2), BatchNorm's scales from N(1, 0.02^2); biases are 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        module.weight.normal_(0, 0.02)
        if module.bias is not None:
            module.bias.zero_()
    if isinstance(module, nn.BatchNorm2d):
        module.weight.normal_(1, 0.02)


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Return a context, on the device of x, in which operations have the type of their inputs."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return x in float32, if it has fewer bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def to_image(x: Tensor) -> Tensor:
    """Convert a network's output to an image: float32, clamped to [-1, 1]."""
    return x.float().clamp(-1, 1)


class InstanceNorm(nn.InstanceNorm2d):
    """InstanceNorm that keeps the memory format channels_last on CPUs.

    torch's own copies such images to contiguous ones, and the next convolution copies them back: a
    tenth of a step of CycleGAN. BatchNorm of a single image is the same and needs no copy.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        images = (
            batch_norm(image, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for image in x.split(1)
        )
        return torch.cat(list(images))


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return the BatchNorm layers of `module`."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


def has_batch_norm(module: nn.Module) -> bool:
    """Whether samples depend on running statistics, which must be recalibrated for averaged weights (EMA)."""
    return bool(batch_norms(module))


@torch.no_grad()
def calibrate(generator: Generator, batches: Iterable[tuple[Batch, Noise]]) -> None:
    """Set BatchNorm's running statistics to their mean over samples of the generator's current weights.

    With noise of fixed seeds the statistics are a function of the weights alone ("standing statistics", Brock
    et al. 2019, https://arxiv.org/abs/1809.11096).
    """
    norms, training = batch_norms(generator), generator.training
    momenta = [norm.momentum for norm in norms]
    generator.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # the plain mean over batches
    for batch, noise in batches:
        generator.sample(batch, noise)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.train(training)
