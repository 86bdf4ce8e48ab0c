"""The `inception` extractor: the network of 2015-12-05 that defines FID."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from components.common.atomic import replacing
from components.common.errors import InputError
from components.common.hashing import digest
from components.common.memory import give_back
from components.common.paths import home
from components.extractors.extractor import PIECE, Extractor
from components.extractors.files import copy_weights, write_config
from components.extractors.preprocess import INCEPTION_EDGE, prepare_inception
from components.records.extractor import ExtractorConfig
from components.store import cache_folder

INCEPTION_NAMES = (  # of the same file, in torch-fidelity and in pytorch-fid
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)

INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_NAMES[0]}"

INCEPTION_VARIABLE = "ATELIER_INCEPTION"

INCEPTION_PREPARATION = (
    "uint8, grey repeated to RGB, 299 px bilinear as in TensorFlow 1, (x - 128) / 128, float32"
)

SECONDS = 30  # timeout of the download


def adopt_inception(weights: str | Path | None, out: Path) -> ExtractorConfig:
    """Copy the Inception weights into `out`; None: from a cache of this machine, or download them."""
    file = check_inception(inception_weights(weights))
    copy_weights(file, Path(out) / INCEPTION_FILE)
    return write_config(Path(out), "inception", INCEPTION_SHA256, INCEPTION_PREPARATION, None)


def inception_weights(path: str | Path | None) -> Path:
    """Return the Inception weights, not yet verified: `path`, ATELIER_INCEPTION, a cache, or a download.

    Raises:
        InputError: The weights are not on this machine, and the download fails.
    """
    return find_inception(path) or _download_inception()


def find_inception(path: str | Path | None) -> Path | None:
    """Return `path`, ATELIER_INCEPTION, or the first file of weights in a cache, if there is one."""
    named = path or os.environ.get(INCEPTION_VARIABLE)
    if named:
        return home() / Path(named).expanduser()
    candidates = (folder / name for folder in _caches() for name in INCEPTION_NAMES)
    return next((file for file in candidates if file.is_file()), None)


def _caches() -> list[Path]:
    """Return folders that may hold weights: Atelier's, ATELIER_CACHE, torch hub's."""
    custom = [Path(folder)] if (folder := os.environ.get("ATELIER_CACHE")) else []
    return [_weights_folder(), *custom, Path(torch.hub.get_dir()) / "checkpoints"]


def _weights_folder() -> Path:
    return cache_folder().parent / "weights"


def _download_inception() -> Path:
    """Download the weights, verify them, and only then move them into Atelier's cache."""
    target = _weights_folder() / INCEPTION_NAMES[0]
    try:
        with replacing(target) as temporary:
            with (
                urllib.request.urlopen(INCEPTION_URL, timeout=SECONDS) as response,
                temporary.open("wb") as file,
            ):
                shutil.copyfileobj(response, file)
            check_inception(temporary)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(_not_found(error)) from error
    except InputError as error:
        raise InputError(f"{INCEPTION_URL} is not the file of the 2015-12-05 weights: {error}") from error
    return target


def _not_found(error: Exception) -> str:
    folders = ", ".join(map(str, _caches()))
    return (
        f"extractor 'inception' needs the file {INCEPTION_NAMES[0]}; it is not in {folders}, and "
        f"{INCEPTION_URL} cannot be downloaded ({error}); put the file in one of these folders, or set "
        f"evaluate.inception_path or {INCEPTION_VARIABLE} to its path"
    )


INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

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


def check_inception(weights: Path) -> Path:
    """Return `weights` after checking that they are those that define FID."""
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; extractor 'inception' needs the 2015-12-05 weights")
    actual = digest(weights, "sha256")
    if actual != INCEPTION_SHA256:
        raise InputError(
            f"{weights}: sha256 {actual[:16]}... is not that of the 2015-12-05 Inception weights "
            f"({INCEPTION_SHA256[:16]}...), which FID needs"
        )
    return weights


def load_inception(folder: Path, config: ExtractorConfig) -> Extractor:
    """Load the Inception extractor in a folder."""
    return Extractor(
        name="inception",
        hash=config.hash,
        dim=2048,
        resize=INCEPTION_EDGE,
        range="[-1, 1)",
        channels=None,
        resolution=None,
        network=Inception(check_inception(folder / INCEPTION_FILE)),
        prepare=prepare_inception,
        chunk=PIECE,
        classes="imagenet",
        config=config,
    )
