"""The kinds of extractors, and what identifies one of each kind without loading it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.hashing import digest
from components.common.paths import home
from components.extractors import pretrained
from components.extractors.files import extractor_hash
from components.records.extractor import ExpectedExtractor

KINDS = ("classifier", "rotation", "inception", "efficientnet", "custom")

TRAINED = ("classifier", "rotation")  # on the data set itself

BATCH = 64  # images in a step of their training

# Of a training whose steps are not set. In 32 steps, which are 8 epochs of 289 images, a network hardly
# learns anything.
EPOCHS, LEAST_STEPS = 8, 400


def default_steps(images: int) -> int:
    """Return the steps of an extractor's training on so many images, where none are set."""
    return max(LEAST_STEPS, EPOCHS * (images // BATCH))


def identity(kind: str, custom: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return what identifies a pre-trained extractor, without loading it; {} for those trained on the data.

    Args:
        kind: One of KINDS.
        custom: The fields of config.Custom.

    Raises:
        InputError: The source of the custom network does not exist.
    """
    if kind == "inception":
        return {"weights": pretrained.INCEPTION_SHA256, "preparation": pretrained.INCEPTION_PREPARATION}
    if kind == "efficientnet":
        return {"weights": pretrained.EFFICIENTNET_SHA256, "preparation": pretrained.EFFICIENTNET_PREPARATION}
    if kind == "custom":
        assert custom is not None, "the config requires it"
        return {
            "name": custom["name"],
            "weights": custom["sha256"],
            "preparation": custom_preparation(custom),
            "recipe": custom_recipe(custom),
        }
    return {}


def expected(kind: str, custom: Mapping[str, Any] | None = None) -> ExpectedExtractor:
    """Return name and hash of a pre-trained extractor, without loading it; arguments as for `identity`."""
    of = identity(kind, custom)
    name = f"custom:{of['name']}" if kind == "custom" else kind
    return ExpectedExtractor(name, extractor_hash(name, of["weights"], of["preparation"], of.get("recipe")))


def custom_recipe(custom: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the network, its source and the preparation of images: the identity without the weights."""
    source = source_digest(custom["network"]) if custom["network"] else None
    fields = ("network", "torchscript", "dim", "resize", "channels", "mean", "std")
    return {key: custom[key] for key in fields} | {"source_sha256": source}


def custom_preparation(custom: Mapping[str, Any]) -> str:
    """Describe the preparation of images; the text is part of the extractor's hash."""
    colours = {1: "grey", 3: "RGB"}[custom["channels"]]
    mean, std = (" ".join(f"{x:g}" for x in custom[key]) for key in ("mean", "std"))
    resize = f"{custom['resize']} px bilinear with antialiasing"
    return f"uint8, {colours}, {resize}, (x / 255 - [{mean}]) / [{std}], float32"


def source_digest(network: str) -> str:
    """Return the sha256 of the file of a class, without the files that it imports."""
    return digest(source_of(network), "sha256")


def source_of(network: str) -> Path:
    """Return the file of the class package.module:Class or path/to/file.py:Class."""
    source = network.rpartition(":")[0]
    path = home() / source if is_file(source) else _origin(source)
    if path is None or not path.is_file():
        raise InputError(
            f"evaluate.custom.network={network!r}: no such file or module; expected "
            "package.module:Class or path/to/file.py:Class"
        )
    return path


def is_file(source: str) -> bool:
    """Whether the source of a class is a file, and not a module."""
    return source.endswith(".py")


def _origin(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # no such package; an empty name
        return None
    return Path(spec.origin) if spec and spec.origin else None
