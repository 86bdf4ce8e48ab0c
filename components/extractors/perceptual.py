"""Frozen networks for perceptual losses: five layers of features of an image, before their activation.

VGG19 (Simonyan & Zisserman 2015), which ESRGAN uses, needs torchvision's weights on this machine; nothing is
downloaded. Otherwise EfficientNet-Lite0 (Tan & Le 2019) comes with an optional package. Both are trained on
ImageNet, and their weights are verified.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.extractors.efficientnet import EfficientNet
from components.extractors.perceptual_network import check
from components.extractors.pretrained import verified_efficientnet, vgg19_weights

# The last convolution of each size in torchvision's `vgg19().features`: conv1_2, 2_2, 3_4, 4_4 and 5_4.
VGG19_LAYERS = (2, 7, 16, 25, 34)
# The last block of each size, 1/2 to 1/32. A block ends with a convolution and BatchNorm, without activation.
EFFICIENTNET_LAYERS = (0, 2, 4, 10, 15)
# Standard deviations of these features for photographs (scikit-image's, crops of 128 pixels), by which they
# are divided: the weights that papers give suit VGG19's features, whose deviations are about 1.
EFFICIENTNET_STD = (6.0, 7.5, 6.8, 5.5, 2.3)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's networks expect


def load_perceptual(name: str, resolution: int, device: torch.device | str = "cpu") -> nn.Module:
    """Return a frozen network, called with images (N, C, H, W) in [-1, 1] and a number of layers.

    Args:
        name: `vgg19`, `efficientnet`, or `auto`.
        resolution: Pixels a side of the images.
        device: Where it computes.

    Raises:
        InputError: The network is not on this machine, or the images are too small for it.
    """
    name = check(name, resolution)
    with torch.random.fork_rng(devices=[]):  # networks draw initial weights before loading
        network = VGG19Features() if name == "vgg19" else EfficientNetFeatures()
    return network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


class VGG19Features(nn.Module):
    """The last convolution before each max-pooling of VGG19, before its ReLU."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg19

        weights = vgg19_weights()
        assert weights is not None
        with torch.device("meta"):
            layers = vgg19().features[: VGG19_LAYERS[-1] + 1]
        state = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
        own = {name: state[f"features.{name}"] for name in layers.state_dict()}
        layers.load_state_dict(own, assign=True)
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the features before it are kept
        self.layers = layers
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, x: Tensor, layers: int) -> list[Tensor]:
        """Return the features of the first layers; grey images (N, 1, H, W) are repeated to RGB."""
        h = ((x.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std
        return outputs(self.layers, VGG19_LAYERS[:layers], h)


class EfficientNetFeatures(nn.Module):
    """The last block of each size of EfficientNet-Lite0, with a standard deviation of about 1."""

    def __init__(self) -> None:
        super().__init__()
        network = EfficientNet(verified_efficientnet()).network
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = network._blocks

    def forward(self, x: Tensor, layers: int) -> list[Tensor]:
        """Return the features of the first layers; grey images (N, 1, H, W) are repeated to RGB."""
        h = self.stem((x.expand(-1, 3, -1, -1) * 127.5 + 0.5) / 128)  # (pixels - 127) / 128
        features = outputs(self.blocks, EFFICIENTNET_LAYERS[:layers], h)
        return [feature / std for feature, std in zip(features, EFFICIENTNET_STD, strict=False)]


def outputs(modules: nn.Sequential | nn.ModuleList, chosen: Sequence[int], h: Tensor) -> list[Tensor]:
    """Return what the chosen modules, in rising order, make of h; those after the last do not run."""
    features: list[Tensor] = []
    for i, module in enumerate(modules[: chosen[-1] + 1]):
        h = module(h)
        if i in chosen:
            features.append(h)
    return features
