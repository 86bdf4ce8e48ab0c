"""A squared distance of images in the features of a frozen network, for projection and path lengths.

Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric,
https://arxiv.org/abs/1801.03924, Eq. 1: features have unit length at each place. Its learned weights of
channels are for networks that are not at hand everywhere; here all are 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.extractors.efficientnet import EFFICIENTNET_SHA256
from components.extractors.extractor import Extractor
from components.extractors.load import load_extractor
from components.extractors.perceptual import SMALLEST, VGG19_SHA256, chosen, load_perceptual, outputs
from components.extractors.preprocess import bilinear
from components.extractors.small import TRAINED, SmallNetwork
from models.family import DataSpec

NetworkName = Literal["auto", "vgg19", "efficientnet", "extractor", "pixels"]

LAYERS = 5  # of networks trained on photographs
HASHES = {"vgg19": VGG19_SHA256, "efficientnet": EFFICIENTNET_SHA256, "pixels": ""}
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


def feature_distance(name: NetworkName, card: DataSpec, extractor: Path | None = None) -> FeatureDistance:
    """Return the distance in the features of a network; nothing is downloaded.

    Networks trained on photographs suit images in colour. For grey images `auto` is the network that was
    trained on the data set itself, if there is one.

    Args:
        name: of the network. auto: the best there is; extractor: that of the data set.
        card: the shape of the images.
        extractor: folder of the extractor of a run; None: there is none.

    Raises:
        InputError: the network is not here, or the images are too small for it.
    """
    if name == "pixels":
        return FeatureDistance("pixels", "", lambda x: [x])
    own = None if extractor is None else load_extractor(extractor)
    trained = own if own is not None and own.name in TRAINED else None
    if name == "extractor" and trained is None:
        raise InputError(
            "--network extractor: name a run whose extractor was trained on its data (classifier or rotation)"
        )
    if trained and (name == "extractor" or (name == "auto" and card.channels == 1)):
        return of_trained(trained)
    try:
        network = chosen(name)
        if card.resolution < SMALLEST[network]:
            raise InputError(
                f"--network {network} needs images of {SMALLEST[network]} pixels or more; these have "
                f"{card.resolution}"
            )
    except InputError:
        if name != "auto":
            raise
        return of_trained(trained) if trained else feature_distance("pixels", card)
    loaded = load_perceptual(network, card.resolution)
    return FeatureDistance(network, HASHES[network], lambda x: loaded(x, LAYERS))


def of_trained(extractor: Extractor) -> FeatureDistance:
    """Return the distance in the three layers of a network trained on the data set."""
    network, resize = extractor.network, extractor.resize
    assert isinstance(network, SmallNetwork) and resize is not None
    layers = [i for i, layer in enumerate(network.trunk) if isinstance(layer, nn.ReLU)]

    def features(x: Tensor) -> list[Tensor]:
        return outputs(network.trunk, layers, bilinear(x, resize))

    return FeatureDistance(extractor.name, extractor.hash, features)
