"""Exported, untrained style-based models for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from components.families import artifact, catalogue
from components.sampling.styles import StyleOptions, Styles
from components.store import Store
from tests import tiny


def saved(folder: Path, name: str = "stylegan2", *, noise: bool = True, **settings: Any) -> Path:
    """The folder of an exported, untrained model of 8 x 8 digits; without noise its inputs have no effect."""
    torch.manual_seed(0)
    config = catalogue.config_of(name, tiny.CONFIGS[name] | settings)
    built = catalogue.build(name, config, tiny.CARD)
    for parameter_name, parameter in built.generator.named_parameters():  # noise and biases begin with 0
        if noise or "noise" not in parameter_name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    if hasattr(built.generator, "mapping"):
        built.generator.mapping.mean += 0.1 * torch.randn(built.generator.mapping.width)
    store = Store(str(folder))
    labels = [f"digit {i}" for i in range(10)]
    artifact.save_model(store, name, name, config, built.generator, tiny.CARD, labels)
    return Path(store.path(name))


def opened(folder: Path, name: str = "stylegan2", **settings: Any) -> Styles:
    """Such a model, opened; settings of the command begin with `--` in others."""
    options = {key: settings.pop(key) for key in list(settings) if key in StyleOptions.__dataclass_fields__}
    return Styles.open(saved(folder, name, **settings), StyleOptions(**options), "a test")
