"""A squared distance of images in the features of a frozen network, for projection and path lengths.

Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric,
https://arxiv.org/abs/1801.03924, Eq. 1: features have unit length at each place. Its learned weights of
channels are for networks that are not at hand everywhere; here all are 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from components.extractors.extractor import Extractor
from components.extractors.kinds import TRAINED
from components.extractors.load import load_extractor
from components.extractors.perceptual import load_perceptual, outputs
from components.extractors.perceptual_network import NetworkName, resolved
from components.extractors.preprocess import bilinear
from components.extractors.pretrained import EFFICIENTNET_SHA256, VGG19_SHA256
from components.extractors.small import SmallNetwork
from models.data_spec import DataSpec

LAYERS = 5  # of networks trained on photographs
HASHES: dict[str, str] = {"vgg19": VGG19_SHA256, "efficientnet": EFFICIENTNET_SHA256}
TINY = 1e-10  # added to squared lengths, which may be 0


@dataclass(frozen=True)
class FeatureDistance:
    """d(a, b): the mean over places of the squared distance of unit features, summed over layers.

    Attributes:
        name: of the network: vgg19, efficientnet, classifier, rotation; or pixels, for the mean square.
        hash: of its weights and the preparation of images; empty for pixels.
        features: from images (N, C, H, W) in [-1, 1] to those of each layer, (N, C', H', W').
    """

    name: str
    hash: str
    features: Callable[[Tensor], Sequence[Tensor]]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances (N,) of images (N, C, H, W) in [-1, 1]."""
        if self.name == "pixels":
            return (a - b).square().mean((1, 2, 3))
        layers = zip(self.features(a), self.features(b), strict=True)
        distances = [(unit(x) - unit(y)).square().sum(1).mean((1, 2)) for x, y in layers]
        return torch.stack(distances).sum(0)


def unit(features: Tensor) -> Tensor:
    """Scale the features (N, C, H, W) of each place to unit length."""
    return features * (features.square().sum(1, keepdim=True) + TINY).rsqrt()


def feature_distance(
    name: NetworkName,
    card: DataSpec,
    extractor: Path | None = None,
    device: torch.device | str = "cpu",
) -> FeatureDistance:
    """Return the distance in the features of the network that `name` means, as `resolved` says.

    Args:
        name: of the network.
        card: the shape of the images.
        extractor: folder of the extractor of a run; None: there is none.
        device: where it computes.

    Raises:
        InputError: the network is not here, or the images are too small for it.
    """
    network = resolved(name, card, trained=extractor is not None and is_trained(extractor))
    if network == "pixels":
        return FeatureDistance("pixels", "", lambda x: [x])
    if network == "extractor":
        assert extractor is not None
        return of_trained(load_extractor(extractor), device)
    loaded = load_perceptual(network, card.resolution, device)
    return FeatureDistance(network, HASHES[network], lambda x: loaded(x, LAYERS))


def is_trained(extractor: Path) -> bool:
    """Whether the extractor in a folder was trained on a data set; others may be code and are not loaded."""
    config = json.loads((extractor / "config.json").read_bytes())
    return config.get("name") in TRAINED


def of_trained(extractor: Extractor, device: torch.device | str = "cpu") -> FeatureDistance:
    """Return the distance in the three layers of a network trained on the data set."""
    network, resize = extractor.network.to(device), extractor.resize
    assert isinstance(network, SmallNetwork) and resize is not None
    layers = [i for i, layer in enumerate(network.trunk) if isinstance(layer, nn.ReLU)]

    def features(x: Tensor) -> list[Tensor]:
        return outputs(network.trunk, layers, bilinear(x, resize))

    return FeatureDistance(extractor.name, extractor.hash, features)
