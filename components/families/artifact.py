"""Models on disk: weights as safetensors, everything else as JSON. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save
from torch import nn

from components.common.errors import InputError
from components.families.catalogue import build
from components.store import Store
from models.family import Card, Family, Generator
from models.registry import FAMILIES


def save_model(
    attempt: Store,
    folder: str,
    family: str,
    config: dict[str, Any],
    generator: nn.Module,
    card: Card,
    labels: list[str] | None = None,
    encoder: dict[str, Any] | None = None,
    upstream: Mapping[str, Any] = MappingProxyType({}),
    errors: dict[str, Any] | None = None,
    background: str | None = None,
) -> None:
    """Write model.safetensors and config.json into a folder: all that is needed to sample.

    But for the encoder of captions, of which it says which one it is. `upstream` holds the config.json of
    what it builds on: the generator has their weights, and needs no more of them than how they are built.
    `errors` are those of images it has not seen (sampling/reconstruction_error.py), `background` what
    transparent images were laid on.
    """
    weights = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    attempt.write_bytes(f"{folder}/model.safetensors", save(weights))
    described = {
        "schema": 1,
        "family": family,
        "config": config,
        "card": card.to_json(),
        "labels": labels,
        "upstream": {
            name: {key: below.get(key) for key in ("family", "config", "card", "upstream")}
            for name, below in upstream.items()
        },
        **({"encoder": encoder} if encoder else {}),
        **({"errors": errors} if errors else {}),
        **({"background": background} if background else {}),
    }
    attempt.write_json(f"{folder}/config.json", described)


def load_model(
    folder: os.PathLike[str] | str, changes: Mapping[str, tuple[str, Any]] | None = None
) -> tuple[Generator, Card, dict[str, Any]]:
    """The generator in a model folder, its card, and the whole of its config.json.

    Args:
        folder: with model.safetensors and config.json.
        changes: settings of sampling that replace the model's: name -> (option that asks for it, value).

    Raises:
        InputError: the folder holds no model, or one that does not fit this version's family, or a change
            is not one of its settings or not accepted.
    """
    path = os.fspath(folder)
    try:
        with open(os.path.join(path, "config.json")) as file:
            described = json.load(file)
        weights = load_file(os.path.join(path, "model.safetensors"))
    except FileNotFoundError:
        files = ("config.json", "model.safetensors")
        missing = [name for name in files if not os.path.exists(os.path.join(path, name))]
        raise InputError(f"{path} is not a model folder: it has no {' and no '.join(missing)}") from None
    except Exception as error:  # json and safetensors raise kinds of their own for damaged files
        raise InputError(f"the model in {path} cannot be read: {error}") from None
    try:
        described["config"] = _with(described["family"], described["config"], changes or {})
        family = rebuilt(described)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}/config.json does not describe a model of this version: {type(error).__name__}, {error}"
        ) from None
    generator, card = family.generator, family.card
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit: {str(error).splitlines()[0]}") from None
    return generator.eval().to(memory_format=torch.channels_last), card, described


def rebuilt(described: Mapping[str, Any]) -> Family:
    """The family that a config.json describes, newly initialised, on what it builds on."""
    below = {name: rebuilt(one).generator for name, one in (described.get("upstream") or {}).items()}
    return build(described["family"], described["config"], Card.from_json(described["card"]), below)


def _with(name: str, config: dict[str, Any], changes: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """A family's settings with some changed, all at once: whether one fits may depend on another."""
    model = FAMILIES[name].Config
    for setting, (option, value) in changes.items():
        if setting not in model.model_fields:
            raise InputError(f"{option} {value}: {name} has no such setting")
    try:
        values = {setting: value for setting, (_, value) in changes.items()}
        return model(**{**config, **values}).model_dump(mode="json") if changes else config
    except ValidationError as error:
        first = error.errors()[0]
        wrong = [told for setting, told in changes.items() if setting in first["loc"]] or list(
            changes.values()
        )
        asked = " ".join(f"{option} {value}" for option, value in wrong)
        told = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{asked} is not accepted: {told[0].lower()}{told[1:]}") from None
