"""The `inception` extractor: the network of 2015-12-05 that defines FID."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from components.common.memory import give_back
from components.extractors import pretrained
from components.extractors.extractor import PIECE, Extractor
from components.extractors.files import copy_weights, write_config
from components.extractors.preprocess import prepare_inception
from components.extractors.pretrained import check_inception, inception_weights
from components.records.extractor import ExtractorConfig


def adopt_inception(weights: str | Path | None, out: Path) -> ExtractorConfig:
    """Copy the Inception weights into `out`; None: from a cache of this machine, or download them."""
    file = check_inception(inception_weights(weights))
    copy_weights(file, Path(out) / INCEPTION_FILE)
    return write_config(
        Path(out), "inception", pretrained.INCEPTION_SHA256, pretrained.INCEPTION_PREPARATION, None
    )


INCEPTION_FILE = "inception-2015-12-05.pth"


class Inception(nn.Module):
    """The trunk of torch-fidelity's Inception-v3: 2048 pooled features, and class logits without bias.

    It is twice as fast on a CPU, since BatchNorm is folded into the convolutions and channels come last in
    memory.
    """

    def __init__(self, weights: Path):
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

        class Uninitialised(FeatureExtractorInceptionV3):
            """The network without loading its weights, which it would do without `weights_only`."""

            def load_state_dict(self, state: Any, *args: Any, **kwargs: Any) -> Any:
                return super().load_state_dict(state, *args, **kwargs) if state else None

        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
            network = Uninitialised("inception-v3-compat", ["2048"], empty)
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), assign=True)
        network.requires_grad_(False)
        *layers, fc = network.children()
        self.trunk, self.classes = nn.Sequential(*layers), fc.weight
        for module in self.trunk.modules():
            if isinstance(module, BasicConv2d):
                module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
        self.trunk.to(memory_format=torch.channels_last)
        give_back()  # the memory of the unfolded weights

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 2048) of images (N, 3, 299, 299) in [-1, 1)."""
        return self.trunk(x).flatten(1)

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, 1008) of features (N, 2048)."""
        return features @ self.classes.T


def load_inception(folder: Path, config: ExtractorConfig) -> Extractor:
    """Load the Inception extractor in a folder."""
    return Extractor(
        name="inception",
        hash=config.hash,
        dim=2048,
        resize=pretrained.INCEPTION_EDGE,
        range="[-1, 1)",
        channels=None,
        resolution=None,
        network=Inception(check_inception(folder / INCEPTION_FILE)),
        prepare=prepare_inception,
        chunk=PIECE,
        classes="imagenet",
        config=config,
    )
