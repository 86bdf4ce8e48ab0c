"""The `custom` extractor: the user's own network."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from components.common.errors import InputError
from components.common.hashing import digest
from components.common.paths import home
from components.extractors import small
from components.extractors.extractor import Extractor
from components.extractors.files import copy_weights, verified, write_config
from components.extractors.preprocess import prepare_custom
from components.extractors.small import OWN_FILE


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
    recipe, preparation = custom_recipe(custom), custom_preparation(custom)
    _try(custom_extractor(name, "", weights, recipe, {}), custom["resize"])
    copy_weights(weights, Path(out) / (TORCHSCRIPT_FILE if custom["torchscript"] else small.OWN_FILE))
    return write_config(Path(out), name, custom["sha256"], preparation, recipe)


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


def custom_recipe(custom: Mapping[str, Any]) -> dict[str, Any]:
    """All that the extractor is made of but its weights."""
    source = source_digest(custom["network"]) if custom["network"] else None
    kept = ("network", "torchscript", "dim", "resize", "channels", "mean", "std")
    return {key: custom[key] for key in kept} | {"source_sha256": source}


def custom_preparation(custom: Mapping[str, Any]) -> str:
    """How images are prepared for it, in words."""
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
        raise InputError(f"extractor {extractor.name!r} fails on images {shape}: {brief(error)}") from error
    found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if found != wanted:
        raise InputError(f"extractor {extractor.name!r} gives {found}; expected (N, dim) = {wanted}")
    if not torch.isfinite(given).all():
        raise InputError(f"extractor {extractor.name!r} gives NaN or infinite features")


TORCHSCRIPT_FILE = "model.pt"


def load_custom(folder: Path, config: dict[str, Any]) -> Extractor:
    """The custom extractor in a folder."""
    recipe = config["recipe"]
    if recipe["network"] and source_digest(recipe["network"]) != recipe["source_sha256"]:
        raise InputError(
            f"{recipe['network']}: its source changed since extractor {config['name']!r} was made; "
            "restore it, or make the reference anew"
        )
    name = TORCHSCRIPT_FILE if recipe["torchscript"] else OWN_FILE
    weights = verified(folder / name, config["weights_sha256"])
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
