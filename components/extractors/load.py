"""Load the extractor in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from components.common.errors import InputError
from components.extractors.custom import load_custom
from components.extractors.efficientnet import load_efficientnet
from components.extractors.extractor import Extractor
from components.extractors.files import extractor_hash
from components.extractors.inception import load_inception
from components.extractors.small import load_small
from components.records.extractor import ExpectedExtractor, ExtractorConfig


def load_extractor(folder: str | Path, expected: ExpectedExtractor | None = None) -> Extractor:
    """Load the extractor in `folder` after verifying its identity and its weights.

    Args:
        folder: An extractor's.
        expected: The extractor that a plan or a pin names; None: any but a custom one, which is code.

    Raises:
        InputError: The folder has no extractor or another one, or its weights or a custom network's source
            have changed.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no extractor here (config.json is missing)")
    config = _identified(folder, expected)
    with torch.random.fork_rng(devices=[]):  # networks draw initial weights before loading
        extractor = _LOADERS[config.name.partition(":")[0]](folder, config)
    for parameter in extractor.network.eval().parameters():  # TorchScript has no requires_grad_ for modules
        parameter.requires_grad_(False)
    return extractor


def _identified(folder: Path, expected: ExpectedExtractor | None) -> ExtractorConfig:
    """Return the config.json of an extractor if it is the expected one; its hash covers all that is read."""
    try:
        config = ExtractorConfig.read(json.loads((folder / "config.json").read_bytes()))
    except (ValueError, RecursionError):
        config = None
    if config is None or config.name.partition(":")[0] not in _LOADERS:
        raise InputError(f"{folder}/config.json does not describe an extractor of this version")
    if config.hash != extractor_hash(config.name, config.weights_sha256, config.preparation, config.recipe):
        raise InputError(f"{folder}/config.json has changed since it was saved (its hash differs)")
    if expected is None and config.name.startswith("custom:"):
        raise InputError(
            f"{folder}: extractor {config.name!r} is code, which runs only where an experiment names its "
            "network and sha256 (evaluate.custom)"
        )
    if expected and (config.name, config.hash) != (expected.name, expected.hash or config.hash):
        raise InputError(
            f"{folder}: extractor {config.name!r} ({config.hash[:8]}) is not the one that the experiment or "
            f"the pin names, {expected.name!r} ({(expected.hash or 'any')[:8]}): run the same command again, "
            "or restore the store"
        )
    return config


_LOADERS: dict[str, Callable[[Path, ExtractorConfig], Extractor]] = {
    "classifier": load_small,
    "rotation": load_small,
    "inception": load_inception,
    "efficientnet": load_efficientnet,
    "custom": load_custom,
}
