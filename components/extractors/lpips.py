"""LPIPS: the perceptual distance between two images, from the layers of AlexNet.

Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric,
https://arxiv.org/abs/1801.03924, Eq. 1, with the linear heads of version 0.1, which torchmetrics includes.
LPIPS needs torchvision's weights of AlexNet on this machine; nothing is downloaded.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import torch
from torch import nn

from components.common.errors import InputError
from components.common.hashing import digest, sha256
from components.extractors.extractor import chunks
from components.extractors.preprocess import check_images
from components.extractors.pretrained import checked_alexnet

SMALLEST = 31  # pixels: the input of AlexNet's second pooling is too small below
PREPARATION = "uint8 / 127.5 - 1, grey repeated to RGB, not resized, float32"


class Lpips:
    """The distance between the images of each pair, 0 for equal images and positive otherwise."""

    hash: str  # sha256 of the weights of trunk and heads, and of the preparation of images

    def __init__(self, trunk: Path):
        from torchmetrics.functional.image.lpips import _LPIPS

        with torch.random.fork_rng(devices=[]):  # the network draws initial weights before loading
            self.network = _LPIPS(net="alex", pnet_rand=True).requires_grad_(False)
        _load_trunk(self.network.net, checked_alexnet(trunk))
        heads = Path(inspect.getfile(_LPIPS)).parent / "lpips_models" / "alex.pth"
        parts = (digest(trunk, "sha256"), digest(heads, "sha256"), PREPARATION)
        self.hash = sha256(" ".join(parts))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return distances (N,) float64 between uint8 images a and b, both (N, C, H, W), grey or RGB.

        Raises:
            InputError: The images are not uint8, or smaller than SMALLEST pixels.
        """
        a, b = check_images(a), check_images(b)
        assert a.shape == b.shape, "a and b are pairs"
        if min(a.shape[2:]) < SMALLEST:
            raise InputError(
                f"LPIPS needs images of at least {SMALLEST} pixels; these are {a.shape[3]}x{a.shape[2]}"
            )
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            pairs = zip(chunks(a), chunks(b), strict=True)
            return np.concatenate([self._distances(x, y)[:n] for (x, n), (y, _) in pairs])

    def _distances(self, a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
        a, b = ((x.float() / 127.5 - 1).expand(-1, 3, -1, -1) for x in (a, b))
        return self.network(a, b).flatten().double().numpy()


def _load_trunk(trunk: nn.Module, weights: Path) -> None:
    """Load AlexNet's weights into slices 1 to 5, whose layers have the same indices as in AlexNet."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    trunk.load_state_dict({name: state["features." + name.partition(".")[2]] for name in trunk.state_dict()})
