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
from components.extractors.inception import load_inception
from components.extractors.small import load_small
from components.records.extractor import ExtractorConfig


def load_extractor(folder: str | Path) -> Extractor:
    """Load the extractor in `folder` after verifying its weights.

    Raises:
        InputError: The folder has no extractor, or its weights or a custom network's source have changed.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no extractor here (config.json is missing)")
    config = ExtractorConfig.read(json.loads((folder / "config.json").read_text()))
    if config is None:
        raise InputError(f"{folder}/config.json does not describe an extractor of this version")
    with torch.random.fork_rng(devices=[]):  # networks draw initial weights before loading
        extractor = _LOADERS[config.name.partition(":")[0]](folder, config)
    for parameter in extractor.network.eval().parameters():  # TorchScript has no requires_grad_ for modules
        parameter.requires_grad_(False)
    return extractor


_LOADERS: dict[str, Callable[[Path, ExtractorConfig], Extractor]] = {
    "classifier": load_small,
    "rotation": load_small,
    "inception": load_inception,
    "efficientnet": load_efficientnet,
    "custom": load_custom,
}
