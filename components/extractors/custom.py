"""The `custom` extractor: a network of the user."""

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
from components.extractors.extractor import Extractor
from components.extractors.files import copy_weights, verified, write_config
from components.extractors.kinds import custom_preparation, custom_recipe, is_file, source_digest, source_of
from components.extractors.preprocess import prepare_custom
from components.extractors.small import OWN_FILE
from components.records.extractor import ExtractorConfig


def adopt_custom(custom: Mapping[str, Any], out: Path) -> ExtractorConfig:
    """Verify the user's network, run it on a few images, and copy its weights into the folder `out`.

    Args:
        custom: The fields of config.Custom.
        out: The folder.

    Raises:
        InputError: The weights are missing or have another sha256, the network cannot be built, or its
            features are not (N, dim) finite numbers.
    """
    name, weights = f"custom:{custom['name']}", home() / Path(custom["weights"]).expanduser()
    _check_scale(custom)
    _check_custom_weights(weights, custom)
    recipe, preparation = custom_recipe(custom), custom_preparation(custom)
    _try(custom_extractor(name, "", weights, recipe), custom["resize"])
    copy_weights(weights, Path(out) / (TORCHSCRIPT_FILE if custom["torchscript"] else OWN_FILE))
    return write_config(Path(out), name, custom["sha256"], preparation, recipe)


def _check_scale(custom: Mapping[str, Any]) -> None:
    lengths = {len(custom["mean"]), len(custom["std"])}
    if not lengths <= {1, custom["channels"]} or min(custom["std"]) <= 0:
        raise InputError(
            "evaluate.custom.mean and std need one number, or one per channel, and std must be positive; "
            f"got mean {custom['mean']} and std {custom['std']} for {custom['channels']} channels"
        )


def _check_custom_weights(weights: Path, custom: Mapping[str, Any]) -> None:
    if not weights.is_file():
        raise InputError(f"evaluate.custom.weights={custom['weights']!r}: no such file ({weights})")
    actual = digest(weights, "sha256")
    if actual != custom["sha256"]:
        raise InputError(
            f"{weights}: sha256 is {actual}, but evaluate.custom.sha256 is {custom['sha256'][:16]}...; "
            "correct the setting if the file is right"
        )


def _try(extractor: Extractor, edge: int) -> None:
    """Raise InputError unless the network returns finite features (N, dim) of random images."""
    shape = (4, extractor.channels or 3, edge, edge)
    images = torch.from_numpy(np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8))
    expected = (len(images), extractor.dim)
    try:
        with torch.inference_mode():
            features = extractor.network(extractor.prepare(images))
    except Exception as error:  # the user's code may raise anything
        raise InputError(f"extractor {extractor.name!r} fails on images {shape}: {brief(error)}") from error
    actual = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    if actual != expected:
        raise InputError(f"extractor {extractor.name!r} returns {actual}; expected (N, dim) = {expected}")
    if not torch.isfinite(features).all():
        raise InputError(f"extractor {extractor.name!r} returns NaN or infinite features")


TORCHSCRIPT_FILE = "model.pt"


def load_custom(folder: Path, config: ExtractorConfig) -> Extractor:
    """Load the custom extractor in a folder."""
    recipe = config.recipe or {}
    if recipe["network"] and source_digest(recipe["network"]) != recipe["source_sha256"]:
        raise InputError(
            f"{recipe['network']}: its source has changed since extractor {config.name!r} was created; "
            "restore it, or create the extractor and the reference again"
        )
    name = TORCHSCRIPT_FILE if recipe["torchscript"] else OWN_FILE
    weights = verified(folder / name, config.weights_sha256)
    return custom_extractor(config.name, config.hash, weights, recipe, config)


def custom_extractor(
    name: str, hash: str, weights: Path, recipe: Mapping[str, Any], config: ExtractorConfig | None = None
) -> Extractor:
    """Return the user's network with `weights`, which the caller has verified."""
    mean, std = recipe["mean"], recipe["std"]
    bounds = [(pixel - m) / s for pixel in (0, 1) for m, s in np.broadcast(mean, std)]
    return Extractor(
        name=name,
        hash=hash,
        dim=recipe["dim"],
        resize=recipe["resize"],
        range=f"[{min(bounds):.4g}, {max(bounds):.4g}]",
        channels=recipe["channels"],
        resolution=None,
        network=_custom_network(weights, recipe).eval(),
        prepare=partial(prepare_custom, resize=recipe["resize"], mean=mean, std=std),
        config=config,
    )


def _custom_network(weights: Path, recipe: Mapping[str, Any]) -> nn.Module:
    if recipe["torchscript"]:
        try:
            return torch.jit.load(str(weights), map_location="cpu")
        except RuntimeError as error:
            raise InputError(f"{weights} is not a TorchScript module: {brief(error)}") from error
    name = recipe["network"]
    try:
        network = load_class(name)()
        network.load_state_dict(load_file(weights))
    except InputError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise InputError(
            f"{name}() cannot be built with the weights {weights.name}: {brief(error)}"
        ) from error
    return network


def load_class(network: str) -> Callable[[], nn.Module]:
    """Import package.module:Class or path/to/file.py:Class, a path in the project, and return the class."""
    source, _, name = network.rpartition(":")
    try:
        module = _module_of_file(source_of(network)) if is_file(source) else importlib.import_module(source)
    except InputError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise InputError(f"{source} cannot be imported: {brief(error)}") from error
    if not hasattr(module, name):
        raise InputError(f"{source} has no class {name!r}, which evaluate.custom.network needs")
    return getattr(module, name)


def _module_of_file(path: Path) -> Any:
    """Import a file under a name that contains its hash, so that two files never share a module."""
    name = f"atelier_custom_{digest(path, 'sha256')[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader, "the path ends in .py"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def brief(error: Exception) -> str:
    """Return the first two lines of an error, without the pages that torch adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] or type(error).__name__
