"""The extractors trained on the data set: `classifier` and `rotation`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from components.common.errors import InputError
from components.common.hashing import digest
from components.common.threads import using_threads
from components.data.dataset import ShardedArray, Split
from components.extractors.extractor import CHUNK, Extractor
from components.extractors.files import verified, write_config
from components.extractors.kinds import BATCH, TRAINED, default_steps
from components.extractors.preprocess import LARGEST, check_images, prepare_own
from components.records.extractor import ExtractorConfig

# Not settings, so that experiments on the same data share an extractor. Threads change its bits.
SEED, THREADS = 0, 1

TURNS = 4  # rotations that are told apart


def train_extractor(
    train: Split,
    validation: Split,
    out: Path,
    kind: str,
    steps: int | None = None,
    seed: int = SEED,
    threads: int = THREADS,
) -> ExtractorConfig:
    """Train a classifier or rotation extractor, save it in `out`, and return its config with the accuracy.

    It is trained for `steps` steps of BATCH images; None: EPOCHS epochs, and at least LEAST_STEPS steps.
    """
    recipe = _recipe(train, validation, kind)
    start = time.monotonic()
    with _repeatable(seed, threads):
        network = SmallNetwork(recipe)
        steps = steps or default_steps(len(train))
        _fit(network, train, steps, seed)
        correct, n = accuracy_on(network, validation)
    seconds = round(time.monotonic() - start, 2)
    training: dict[str, Any] = {"steps": steps, "seed": seed, "threads": threads}
    return _save(network, recipe, Path(out), **training, accuracy=correct / n, seconds=seconds)


def train_classifier(
    images: np.ndarray | ShardedArray,
    labels: np.ndarray,
    num_classes: int,
    *,
    steps: int,
    seed: int,
    threads: int = THREADS,
) -> SmallNetwork:
    """Train a classifier on generated images, for the classification accuracy score.

    Ravuri & Vinyals 2019, Classification Accuracy Score for Conditional Generative Models,
    https://arxiv.org/abs/1905.10887. The number of steps does not depend on the number of images.

    Args:
        images: uint8 (N, C, H, W), possibly memory-mapped; N may be less than a batch.
        labels: Integers from 0 to `num_classes` - 1, (N,).
        num_classes: Number of classes, including those without images.
        steps: Training steps, of BATCH images each.
        seed: Seed of the initial weights and the order of images.
        threads: Threads of torch, which change the bits of the result.
    """
    data = Split(images if isinstance(images, ShardedArray) else ShardedArray([images]), np.asarray(labels))
    _, channels, _, resolution = check_images(data.images[np.arange(1)]).shape
    with _repeatable(seed, threads):
        network = SmallNetwork(Recipe("classifier", channels, resolution, num_classes))
        _fit(network, data, steps, seed)
    return network


def accuracy_on(network: SmallNetwork, data: Split, n: int | None = None) -> tuple[int, int]:
    """Return how many of the first `n` images of `data` (None: all) are correctly classified, and `n`."""
    random, correct, n = np.random.RandomState(0), 0, n or len(data)
    with torch.inference_mode():
        for start in range(0, n, CHUNK):
            x, y = _examples(data, np.arange(start, min(start + CHUNK, n)), network.recipe, random)
            correct += int((network.logits(network(x)).argmax(1) == y).sum())
    return correct, n


def _recipe(train: Split, validation: Split, kind: str) -> Recipe:
    if kind not in TRAINED:
        raise InputError(f"extractor {kind!r} cannot be trained; accepted: {', '.join(TRAINED)}")
    if kind == "classifier" and train.labels is None:
        raise InputError(
            "extractor 'classifier' needs labels, and the data set has none; use 'rotation' or 'auto'"
        )
    _, channels, _, resolution = check_images(train.images[np.arange(1)]).shape
    if resolution < 8:
        raise InputError(f"images are {resolution} pixels wide; an extractor needs at least 8")
    return Recipe(
        kind, channels, resolution, TURNS if kind == "rotation" else _num_classes(train, validation)
    )


def _num_classes(*splits: Split) -> int:
    return 1 + max(int(split.labels.max()) for split in splits if split.labels is not None)


@contextmanager
def _repeatable(seed: int, threads: int) -> Iterator[None]:
    """Fix seed, threads and precision, and restore the caller's random state afterwards."""
    with using_threads(threads), torch.random.fork_rng(devices=[]), torch.autocast("cpu", enabled=False):
        torch.manual_seed(seed)
        yield


def _fit(network: SmallNetwork, data: Split, steps: int, seed: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    random = np.random.RandomState(seed)  # its stream does not depend on numpy's version
    order = np.concatenate([random.permutation(len(data)) for _ in range(-(-steps * BATCH // len(data)))])
    network.train()
    for step in range(steps):
        rows = np.sort(order[step * BATCH : (step + 1) * BATCH])  # in file order: images are memory-mapped
        x, y = _examples(data, rows, network.recipe, random)
        loss = F.cross_entropy(network.logits(network(x)), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()


def _examples(
    data: Split, rows: np.ndarray, recipe: Recipe, random: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Return prepared images and their targets: labels, or the number of quarter turns of each image."""
    x = prepare_own(torch.from_numpy(np.ascontiguousarray(data.images[rows])), recipe.resize)
    if recipe.kind == "classifier":
        assert data.labels is not None
        return x, torch.from_numpy(np.asarray(data.labels[rows], dtype=np.int64))
    turns = random.randint(TURNS, size=len(rows))
    turned = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(x, turns, strict=True)])
    return turned, torch.from_numpy(turns)


def _save(network: SmallNetwork, recipe: Recipe, out: Path, **training: Any) -> ExtractorConfig:
    out.mkdir(parents=True, exist_ok=True)
    weights = out / OWN_FILE
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, weights)
    fields = dataclasses.asdict(recipe)
    return write_config(
        out, recipe.kind, digest(weights, "sha256"), _own_preparation(recipe), fields, **training
    )


def _own_preparation(recipe: Recipe) -> str:
    """Describe the preparation of images; the text is part of the extractor's hash."""
    resize = "" if recipe.resize == recipe.resolution else ", bilinear with antialiasing"
    return f"uint8 / 127.5 - 1, {recipe.channels} channels, {recipe.resize} pixels{resize}, float32"


OWN_FILE = "model.safetensors"


@dataclass(frozen=True)
class Recipe:
    """The architecture of a trained extractor and the images it accepts."""

    kind: str  # classifier | rotation
    channels: int
    resolution: int  # of accepted images
    num_classes: int
    dim: int = 64
    width: int = 16
    version: int = 1  # increased when SmallNetwork changes; part of the extractor's hash

    @property
    def resize(self) -> int:
        """The side of prepared images in pixels."""
        return min(self.resolution, LARGEST)


class SmallNetwork(nn.Module):
    """Three convolutions, `dim` features and a linear head; maps of 8 pixels or more are halved."""

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
        # The last BatchNorm gives distances the same scale for every data set.
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


def load_small(folder: Path, config: ExtractorConfig) -> Extractor:
    """Load the classifier or rotation extractor in a folder."""
    weights = load_file(verified(folder / OWN_FILE, config.weights_sha256))
    try:
        recipe = Recipe(**config.recipe or {})
        with torch.device("meta"):  # takes no memory, of which a config.json may ask for any amount
            network = SmallNetwork(recipe)
        network.load_state_dict(weights, assign=True)
    except (TypeError, RuntimeError, OverflowError) as error:
        raise InputError(
            f"{folder}: the weights do not fit config.json: {str(error).splitlines()[0]}"
        ) from None
    return Extractor(
        name=recipe.kind,
        hash=config.hash,
        dim=recipe.dim,
        resize=recipe.resize,
        range="[-1, 1]",
        channels=recipe.channels,
        resolution=recipe.resolution,
        network=network,
        prepare=partial(prepare_own, resize=recipe.resize),
        classes="own" if recipe.kind == "classifier" else None,
        config=config,
    )
