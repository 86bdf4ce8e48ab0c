"""The `efficientnet` extractor: EfficientNet-Lite0, trained on ImageNet (Tan & Le 2019)."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from components.extractors import pretrained
from components.extractors.extractor import PIECE, Extractor
from components.extractors.files import copy_weights, verified, write_config
from components.extractors.preprocess import prepare_efficientnet
from components.extractors.pretrained import need_efficientnet, verified_efficientnet
from components.records.extractor import ExtractorConfig


def adopt_efficientnet(out: Path) -> ExtractorConfig:
    """Copy the weights of EfficientNet-Lite0 into `out`."""
    need_efficientnet()
    copy_weights(verified_efficientnet(), Path(out) / EFFICIENTNET_FILE)
    return write_config(
        Path(out), "efficientnet", pretrained.EFFICIENTNET_SHA256, pretrained.EFFICIENTNET_PREPARATION, None
    )


EFFICIENTNET_FILE = "efficientnet-lite0.pth"


class EfficientNet(nn.Module):
    """The trunk of EfficientNet-Lite0: 1280 pooled features."""

    def __init__(self, weights: Path):
        super().__init__()
        package = importlib.import_module(pretrained.EFFICIENTNET_PACKAGES[0])
        self.network = package.EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 1280) of images (N, 3, edge, edge), edge a multiple of 32."""
        return self.network.extract_features(x).mean((2, 3))


def load_efficientnet(folder: Path, config: ExtractorConfig) -> Extractor:
    """Load the EfficientNet extractor in a folder."""
    need_efficientnet()
    return Extractor(
        name="efficientnet",
        hash=config.hash,
        dim=1280,
        resize=None,
        range="[-127/128, 1]",
        channels=None,
        resolution=None,
        network=EfficientNet(verified(folder / EFFICIENTNET_FILE, pretrained.EFFICIENTNET_SHA256)),
        prepare=prepare_efficientnet,
        chunk=PIECE,
        config=config,
    )
