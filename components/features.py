"""Images -> feature vectors: what judges the images, behind one interface, and named for what it is.

Three extractors. `classifier` is a small network trained on the data set's own labels, the custom for digits.
`rotation` is the same network where there are no labels, trained to tell by how much an image was turned
(Gidaris et al. 2018, Unsupervised Representation Learning by Predicting Image Rotations,
https://arxiv.org/abs/1803.07728). `inception` is the network of 2015-12-05 that FID was defined with, and the
only one whose distance is called FID.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from components.data.dataset import Split
from components.errors import InputError
from components.threads import using_threads

CHUNK = 100  # images at once; the last chunk is padded, so that every image sees the same shapes
LARGEST = 64  # pixels: larger images are reduced to this before a trained extractor sees them
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_FILE = "inception-2015-12-05.pth"
INCEPTION_PREPARATION = (
    "uint8, grey repeated to RGB, 299 px bilinear as in TensorFlow 1, (x - 128) / 128, float32"
)
KINDS = ("classifier", "rotation", "inception")


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


@dataclass(frozen=True)
class Extractor:
    """Images in, features out: a network, its name, and the hash that says when two of them are the same."""

    name: str  # classifier | rotation | inception
    hash: str  # sha256 of the weights and of how images are prepared
    dim: int
    resize: int | None  # edge in pixels at which the network sees an image
    range: str  # of the pixels it sees
    channels: int | None  # of the images it accepts; None: grey or RGB
    resolution: int | None  # None: any
    network: nn.Module
    info: dict[str, Any] = dataclasses.field(default_factory=dict)  # how it was made and how good it is

    @property
    def frechet_name(self) -> str:
        """What the Frechet distance on these features may be called."""
        return "fid" if self.name == "inception" else "frechet_distance"

    def __call__(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Features (N, dim) float32 of uint8 images (N, C, H, W); the same for any cut into chunks."""
        checked = check_images(images, self.channels, self.resolution)
        return np.concatenate(list(self._chunks(checked)))

    def logits(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Class scores (N, K) float32 of images; only the classifier knows classes."""
        return self.logits_of(self(images))

    def logits_of(self, features: np.ndarray) -> np.ndarray:
        """Class scores (N, K) float32 of features that this extractor gave."""
        assert isinstance(self.network, SmallNetwork) and self.name == "classifier"
        with torch.no_grad():
            return self.network.head(torch.from_numpy(features)).numpy()

    def _chunks(self, images: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(images), CHUNK):
            chunk = np.ascontiguousarray(images[start : start + CHUNK])
            padded = np.pad(chunk, [(0, CHUNK - len(chunk)), (0, 0), (0, 0), (0, 0)])
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                yield self.network(self._prepare(torch.from_numpy(padded))).numpy()[: len(chunk)]

    def _prepare(self, images: Tensor) -> Tensor:
        if self.name == "inception":  # resizes and scales by itself, as TensorFlow 1 did
            return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        return prepare(images, self.resize)


def check_images(images: Any, channels: int | None = None, resolution: int | None = None) -> np.ndarray:
    """`images` as a uint8 array (N, C, H, W), or one sentence saying what is wrong with them."""
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.ndim != 4 or not len(array):
        raise InputError(f"no images to judge: expected (N, C, H, W) with N >= 1, got shape {array.shape}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError("images contain NaN or infinite pixels; expected uint8 from 0 to 255")
    if array.dtype != np.uint8:
        raise InputError(f"images are {array.dtype}; expected uint8 from 0 to 255")
    wanted = (channels or array.shape[1], resolution or array.shape[2], resolution or array.shape[3])
    if array.shape[1:] != wanted:
        raise InputError(f"images are {_shape(array.shape[1:])}; the extractor was made for {_shape(wanted)}")
    return array


def _shape(shape: tuple[int, ...]) -> str:
    kind = {1: "grey", 3: "RGB"}.get(shape[0], f"{shape[0]} channels")
    return f"{kind} {shape[2]}x{shape[1]}"


def prepare(images: Tensor, resize: int | None) -> Tensor:
    """uint8 (N, C, H, W) -> float32 in [-1, 1], reduced to `resize` pixels where larger."""
    x = images.float() / 127.5 - 1
    if resize is None or x.shape[-1] == resize:
        return x
    return F.interpolate(x, size=(resize, resize), mode="bilinear", antialias=True, align_corners=False)


def train_extractor(
    train: Split, validation: Split, out: Path, kind: str, epochs: int = 8, seed: int = 0, threads: int = 1
) -> dict[str, Any]:
    """Train a classifier or rotation extractor into `out`; returns how it was made and its accuracy."""
    recipe = _recipe(train, validation, kind)
    started = time.monotonic()
    with _repeatable(seed, threads):
        network = SmallNetwork(recipe)
        _fit(network, train, recipe, epochs, seed)
        accuracy = _accuracy(network, validation, recipe)
    seconds = round(time.monotonic() - started, 2)
    info = {"epochs": epochs, "seed": seed, "threads": threads, "accuracy": accuracy, "seconds": seconds}
    return _save(network, recipe, info, Path(out))


def _recipe(train: Split, validation: Split, kind: str) -> Recipe:
    if kind not in ("classifier", "rotation"):
        raise InputError(f"extractor {kind!r} cannot be trained; accepted: classifier, rotation")
    if kind == "classifier" and train.labels is None:
        raise InputError(
            "extractor 'classifier' needs labels, the data set has none; use 'rotation' or 'auto'"
        )
    _, channels, _, resolution = check_images(train.images[np.arange(1)]).shape
    if resolution < 8:
        raise InputError(f"images are {resolution} pixels wide; an extractor needs at least 8")
    return Recipe(kind, channels, resolution, 4 if kind == "rotation" else _num_classes(train, validation))


def _num_classes(*splits: Split) -> int:
    return 1 + max(int(split.labels.max()) for split in splits if split.labels is not None)


@contextmanager
def _repeatable(seed: int, threads: int) -> Iterator[None]:
    """The same weights each time; the caller's random state comes back afterwards."""
    with using_threads(threads), torch.random.fork_rng(devices=[]), torch.autocast("cpu", enabled=False):
        torch.manual_seed(seed)
        yield


def _fit(network: SmallNetwork, data: Split, recipe: Recipe, epochs: int, seed: int, batch: int = 64) -> None:
    steps = epochs * max(1, len(data.images) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    random = np.random.RandomState(seed)  # whose stream never changes with numpy's version
    order = np.concatenate([random.permutation(len(data.images)) for _ in range(epochs)])
    network.train()
    for step in range(steps):
        rows = np.sort(order[step * batch : (step + 1) * batch])  # in file order: images are memory-mapped
        x, y = _examples(data, rows, recipe, random)
        loss = F.cross_entropy(network.head(network(x)), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()


def _examples(
    data: Split, rows: np.ndarray, recipe: Recipe, random: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Images and what to tell of them: their labels, or by how many quarters each was turned."""
    x = prepare(torch.from_numpy(np.ascontiguousarray(data.images[rows])), recipe.resize)
    if recipe.kind == "classifier":
        assert data.labels is not None
        return x, torch.from_numpy(np.asarray(data.labels[rows], dtype=np.int64))
    turns = random.randint(4, size=len(rows))
    turned = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(x, turns, strict=True)])
    return turned, torch.from_numpy(turns)


def _accuracy(network: SmallNetwork, data: Split, recipe: Recipe, batch: int = 256) -> float:
    random, right = np.random.RandomState(0), 0
    with torch.no_grad():
        for start in range(0, len(data.images), batch):
            x, y = _examples(data, np.arange(start, min(start + batch, len(data.images))), recipe, random)
            right += int((network.head(network(x)).argmax(1) == y).sum())
    return right / len(data.images)


def _save(network: SmallNetwork, recipe: Recipe, info: dict[str, Any], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, out / "model.safetensors")
    weights = _sha256(out / "model.safetensors")
    return _write_config(out, recipe.kind, weights, _preparation(recipe), recipe, info)


def _preparation(recipe: Recipe) -> str:
    """How images become the network's input, in words that are part of the extractor's hash."""
    resize = "" if recipe.resize == recipe.resolution else ", bilinear with antialiasing"
    return f"uint8 / 127.5 - 1, {recipe.channels} channels, {recipe.resize} pixels{resize}, float32"


def _write_config(
    out: Path, name: str, weights: str, preparation: str, recipe: Recipe | None, info: dict[str, Any]
) -> dict[str, Any]:
    identity = {
        "name": name,
        "weights_sha256": weights,
        "preparation": preparation,
        "recipe": dataclasses.asdict(recipe) if recipe else None,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    config = {**identity, "hash": digest, **info}
    temporary = out / "config.json.tmp"
    temporary.write_text(json.dumps(config, indent=1))
    os.replace(temporary, out / "config.json")  # last, and whole: a folder with it is a finished extractor
    return config


def adopt_inception(weights: str | Path | None, out: Path) -> dict[str, Any]:
    """Copy the verified Inception weights into `out`, which is then complete without the original file."""
    if weights is None:
        raise InputError("extractor 'inception' needs evaluate.inception_path: the 2015-12-05 weights file")
    _check_inception(Path(weights))
    _need_fidelity()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, out / INCEPTION_FILE)
    return _write_config(out, "inception", INCEPTION_SHA256, INCEPTION_PREPARATION, None, {})


def _check_inception(weights: Path) -> None:
    """Before loading, since these weights are a pickle."""
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; extractor 'inception' needs the 2015-12-05 weights")
    found = _sha256(weights)
    if found != INCEPTION_SHA256:
        raise InputError(
            f"{weights}: sha256 {found[:16]}... is not that of the 2015-12-05 Inception weights "
            f"({INCEPTION_SHA256[:16]}...), so no distance on them may be called FID"
        )


def _need_fidelity() -> None:
    if importlib.util.find_spec("torch_fidelity") is None:
        raise InputError("extractor 'inception' needs the package torch-fidelity: pip install torch-fidelity")


def load_extractor(folder: str | Path) -> Extractor:
    """The extractor in `folder`, its weights verified against the hash they were saved with."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no extractor here (config.json is missing)")
    config = json.loads((folder / "config.json").read_text())
    return _load_inception(folder, config) if config["name"] == "inception" else _load_trained(folder, config)


def _load_trained(folder: Path, config: dict[str, Any]) -> Extractor:
    weights, recipe = folder / "model.safetensors", Recipe(**config["recipe"])
    if not weights.is_file() or _sha256(weights) != config["weights_sha256"]:
        raise InputError(f"{weights}: missing or changed since it was saved (sha256 in config.json)")
    network = SmallNetwork(recipe)
    network.load_state_dict(load_file(weights))
    return Extractor(
        name=recipe.kind,
        hash=config["hash"],
        dim=recipe.dim,
        resize=recipe.resize,
        range="[-1, 1]",
        channels=recipe.channels,
        resolution=recipe.resolution,
        network=network.eval().requires_grad_(False),
        info=config,
    )


class _Inception(nn.Module):
    """The pooled 2048 features of torchmetrics' port, without antialiasing, as the original resized."""

    def __init__(self, weights: Path):
        super().__init__()
        from torchmetrics.image.fid import NoTrainInceptionV3

        self.network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights), antialias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).reshape(len(images), 2048)


def _load_inception(folder: Path, config: dict[str, Any]) -> Extractor:
    _check_inception(folder / INCEPTION_FILE)
    _need_fidelity()
    network = _Inception(folder / INCEPTION_FILE).eval().requires_grad_(False)
    return Extractor("inception", config["hash"], 2048, 299, "[-1, 1)", None, None, network, info=config)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
