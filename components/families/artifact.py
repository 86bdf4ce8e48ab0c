"""Save and load models: weights as safetensors, everything else as JSON, no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch.overrides import TorchFunctionMode

from components.common.errors import InputError
from components.data.sources.signatures import HEAD, other_content
from components.families.catalogue import build
from components.records.captions import CaptionEncoder
from components.records.model import ModelConfig, ReconstructionErrors
from components.store import Store
from models.data_spec import DataSpec
from models.family import Family, Generator
from models.registry import FAMILIES

FILES = ("config.json", "model.safetensors")
LARGEST_SIDE = 4096  # pixels of a model's images; data sets have at most 1024
# Of networks that are not in the model's file; more is refused. 50 samples of 1024 pixels have 0.6 GB.
UNSAVED_BYTES = 2**31

DRAWS = (torch.Tensor.normal_, nn.init.normal_)

Shape = tuple[int, ...]


def save_model(
    attempt: Store,
    folder: str,
    family: str,
    config: Mapping[str, Any],
    generator: nn.Module,
    card: DataSpec,
    labels: list[str] | None = None,
    encoder: CaptionEncoder | None = None,
    upstream: Mapping[str, ModelConfig] = MappingProxyType({}),
    errors: ReconstructionErrors | None = None,
    background: str | None = None,
) -> None:
    """Write model.safetensors and config.json to a folder: all that is needed to sample.

    Args:
        attempt: the folder of the stage's attempt.
        folder: relative to `attempt`.
        family: the family's name.
        config: the family's settings in full.
        generator: includes the weights of the upstream models.
        card: what the family knows of the data.
        labels: the names of the classes.
        encoder: identifies the encoder of captions, which is not saved.
        upstream: config.json of the upstream models by name, to rebuild them.
        errors: reconstruction errors of unseen images (sampling/reconstruction_error.py).
        background: the colour behind transparent pixels.
    """
    weights = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    attempt.write_bytes(f"{folder}/model.safetensors", save(weights))
    described = ModelConfig(
        family=family,
        config=config,
        card=card.to_json(),
        labels=labels,
        upstream={
            name: ModelConfig(family=of.family, config=of.config, card=of.card, upstream=of.upstream)
            for name, of in upstream.items()
        },
        encoder=encoder,
        errors=errors,
        background=background,
    )
    attempt.write_json(f"{folder}/config.json", {"schema": 1} | described.to_json())


def load_model(
    folder: os.PathLike[str] | str, changes: Mapping[str, tuple[str, Any]] | None = None
) -> tuple[Generator, DataSpec, ModelConfig]:
    """Return the generator in a model folder, its card, and its config.json.

    Args:
        folder: with model.safetensors and config.json.
        changes: sampling settings that replace the model's: name -> (command-line option, value).

    Raises:
        InputError: the folder contains no model, the model does not fit this version of its family, or a
            change names an unknown setting or is not accepted.
    """
    path = os.fspath(folder)
    content, shapes = _read(path)
    try:
        model = ModelConfig.model_validate(content)
        model.config = _with(model.family, model.config, changes or {})
        # It takes no memory, of which a config.json may ask for any amount.
        with torch.device("meta"), _Undrawn():
            _check_size(path, rebuilt(model), shapes)
        family = rebuilt(model)
    except (KeyError, TypeError, RuntimeError, MemoryError, OverflowError, ValidationError) as error:
        message = " ".join(str(error).split("[type=")[0].split())
        raise InputError(
            f"{path}/config.json does not describe a model of this version: {type(error).__name__}, {message}"
        ) from None
    generator, card = family.generator, family.card
    generator.load_state_dict(load_file(os.path.join(path, "model.safetensors")))
    return generator.eval().to(memory_format=torch.channels_last), card, model


class _Undrawn(TorchFunctionMode):
    """Leaves out normal draws, for which torch loads its compiler if tensors have no values: two seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _read(path: str) -> tuple[Any, Mapping[str, Shape]]:
    """Return the config.json of a model folder, and the shapes of its weights by name."""
    try:
        with open(os.path.join(path, "config.json"), encoding="utf-8-sig") as file:
            content = json.load(file)
        with safe_open(os.path.join(path, "model.safetensors"), "pt") as weights:
            names = weights.keys()
            return content, {name: tuple(weights.get_slice(name).get_shape()) for name in names}
    except FileNotFoundError:
        missing = [name for name in FILES if not os.path.exists(os.path.join(path, name))]
        raise InputError(f"{path} is not a model folder: it has no {' and no '.join(missing)}") from None
    except Exception as error:  # json and safetensors raise various errors for damaged files
        raise InputError(f"the model in {path} cannot be read: {_damage(path) or error}") from None


def _damage(path: str) -> str | None:
    """Return what is in a model folder in place of a model's file, such as what git clones without LFS."""
    for name in FILES:
        with open(os.path.join(path, name), "rb") as file:
            if other := other_content(file.read(HEAD), "the model's file"):
                return f"{name} is {other}"
    return None


def _check_size(path: str, family: Family, weights: Mapping[str, Shape]) -> None:
    """Raise InputError if a generator does not have the shapes of its weights, or the rest is too large."""
    expected = {name: tuple(value.shape) for name, value in family.generator.state_dict().items()}
    for name in sorted(expected.keys() | weights.keys()):
        if expected.get(name) != weights.get(name):
            raise InputError(
                f"the weights in {path} do not fit: {name} is {weights.get(name, 'missing')}, "
                f"and config.json needs {expected.get(name, 'none')}"
            )
    saved = sum(value.nbytes for value in family.generator.state_dict().values())
    unsaved = sum(value.nbytes for value in [*family.parameters(), *family.buffers()]) - saved
    if unsaved > UNSAVED_BYTES or family.card.resolution > LARGEST_SIDE:
        raise InputError(
            f"{path}/config.json asks for images of {family.card.resolution} pixels and {unsaved:,} bytes of "
            f"networks besides its weights; accepted: {LARGEST_SIDE} pixels and {UNSAVED_BYTES:,} bytes"
        )


def rebuilt(model: ModelConfig) -> Family:
    """Build the family of a model, with its upstream models, newly initialised."""
    upstream = {name: rebuilt(config).generator for name, config in model.upstream.items()}
    return build(model.family, model.config, DataSpec.from_json(model.card), upstream)


def _with(name: str, config: Mapping[str, Any], changes: Mapping[str, tuple[str, Any]]) -> Mapping[str, Any]:
    """Return a family's settings with all changes applied at once, since one may depend on another."""
    model = FAMILIES[name].Config
    for setting, (option, value) in changes.items():
        if setting not in model.model_fields:
            raise InputError(f"{option} {value}: {name} has no such setting")
    try:
        values = {setting: value for setting, (_, value) in changes.items()}
        return model(**{**config, **values}).model_dump(mode="json") if changes else config
    except ValidationError as error:
        first = error.errors()[0]
        rejected = [change for setting, change in changes.items() if setting in first["loc"]]
        options = " ".join(f"{option} {value}" for option, value in rejected or changes.values())
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{options} is not accepted: {message[0].lower()}{message[1:]}") from None
