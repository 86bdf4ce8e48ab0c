"""The options of `atelier sample` and the sampling inputs that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.data.text import encoder as text_encoder
from components.data.text import package
from components.data.text.encoded import EncodedCaptions, SplitCaptions
from components.data.text.package import LONGEST
from components.families.catalogue import conditions, task_of
from components.records.captions import EncoderIdentity
from components.records.model import ModelConfig
from components.sampling.read_image import one_image, one_mask
from models.data_spec import DataSpec, SourceShape
from models.family import Generator

UNLABELLED = "this model was trained without labels; families such as diffusion learn those of labelled data"

SETTINGS = {  # options that replace a setting of the model -> that setting
    "steps": "sampler_steps",
    "guidance_scale": "guidance_scale",
    "sampler": "sampler",
    "strength": "strength",
    "dropout": "dropout_at_test",
    "statistics": "statistics_at_test",
    "interpolate": "interpolate",
    "truncation": "truncation",
    "truncation_cutoff": "truncation_cutoff",
}


@dataclass(frozen=True)
class SampleOptions:
    """Options of samples; None means the model's own setting."""

    label: str | None = None  # class name or number; None: all in turn
    source: Path | None = None  # image to reconstruct, enlarge, fill in or start from
    mask: Path | None = None  # white where to fill in the source; None: random holes
    strength: float | None = None  # of the noise added to the source to start from
    prompts: Sequence[str] = ()  # captions, used in turn; empty: sample without a caption
    steps: int | None = None  # of the sampler
    guidance_scale: float | None = None  # towards class or caption; 1: none
    sampler: str | None = None
    dropout: str | None = None  # "on" or "off"
    direction: str | None = None  # "forward" or "backward"
    statistics: str | None = None  # of BatchNorm: "image" or "training"
    interpolate: float | None = None  # 0: weights of the upstream network, 1: of the GAN
    truncation: float | None = None  # psi: 0 is the mean image, 1 no truncation
    truncation_cutoff: int | None = None  # layers that are truncated, from the first

    @property
    def settings(self) -> dict[str, tuple[str, Any]]:
        """The model settings to change: name -> (option, value)."""
        values = {option: getattr(self, option) for option in SETTINGS}
        return {
            SETTINGS[option]: (f"--{option.replace('_', '-')}", value)
            for option, value in values.items()
            if value is not None
        }


def directed(
    options: SampleOptions, generator: Generator, card: DataSpec, family: str
) -> tuple[str, DataSpec]:
    """Return the method of the generator that leads in the direction asked for, and its shapes.

    Raises:
        InputError: the generator has one direction alone, or there is no such direction.
    """
    if options.direction is None:
        return "sample", card
    if not hasattr(generator, "backward"):
        raise InputError(f"--direction {options.direction}: {family} leads in one direction alone")
    if options.direction not in ("forward", "backward"):
        raise InputError(f"--direction {options.direction} is not accepted: it is forward or backward")
    return ("backward", card.reversed()) if options.direction == "backward" else ("sample", card)


def source_card(generator: Generator, card: DataSpec) -> DataSpec:
    """Return the shape of the images that a generator makes samples from, as a card of their own."""
    smaller = SourceShape(card.channels, getattr(generator, "source_resolution", card.resolution))
    shape = card.source or smaller
    return DataSpec(shape.channels, shape.resolution)


def sampling_inputs(
    options: SampleOptions, n: int, generator: Generator, card: DataSpec, model: ModelConfig
) -> dict[str, Any]:
    """Return the conditions of `n` samples, as arguments of `generate`.

    Raises:
        InputError: the model does not support an option, or needs one that is missing.
    """
    kinds = conditions(model.family, model.config, card)
    inputs = _from_image(options, n, generator, card, model)
    if options.label is not None and "label" not in kinds:
        raise InputError(f"--label {options.label}: {UNLABELLED}")
    if len(options.prompts) > n:
        raise InputError(
            f"-n {n}: there are {len(options.prompts)} prompts; draw at least one sample of each"
        )
    if options.prompts and "text" not in kinds:
        raise InputError(f"--prompt {options.prompts[0]!r}: this model was trained without captions")
    if options.guidance_scale is not None and not kinds:
        raise InputError(
            f"--guidance-scale {options.guidance_scale:g}: this model is conditioned on neither classes nor "
            "captions"
        )
    if options.label is not None:
        inputs["labels"] = class_number(options.label, model.labels, card)
    elif "label" in kinds and options.source is None:
        inputs["labels"] = np.arange(n) % card.num_classes
    elif "label" in kinds and not model.config.get("condition_dropout"):
        raise InputError("--source: this model always needs a label; name the image's with --label")
    if "text" in kinds and model.encoder:
        inputs["text"] = prompted(options.prompts, n, model.encoder)
    return inputs


def _from_image(
    options: SampleOptions, n: int, generator: Generator, card: DataSpec, model: ModelConfig
) -> dict[str, Any]:
    """Return the image and mask, repeated for `n` samples; empty for a family that samples from noise."""
    name, task = model.family, task_of(model.family)
    generates = task.made_from == "noise"
    if options.mask is not None and not hasattr(generator, "masked"):
        raise InputError(f"--mask {options.mask}: {name} cannot fill in parts of an image")
    if options.strength is not None and options.source is None:
        raise InputError(f"--strength {options.strength:g}: name the image to start from with --source FILE")
    if options.source is None:
        if generates:
            return {}
        raise InputError(f"{name} {task.verb} images: name one with --source FILE")
    if generates and "strength" not in model.config:
        raise InputError(f"{name} samples from noise alone: it takes no --source")
    if generates and model.config["strength"] == 1:
        raise InputError("--source: set the noise to add to it with --strength, above 0 and below 1")

    shape = source_card(generator, card)
    image = one_image(options.source, shape, model.background, exact=task.smaller_source)
    kind = "sources" if card.source or task.smaller_source else "images"
    inputs = {kind: np.broadcast_to(image, (n, *image.shape))}
    if options.mask is not None:
        mask = one_mask(options.mask, card.resolution)
        inputs["masks"] = np.broadcast_to(mask, (n, *mask.shape))
    return inputs


def prompted(prompts: Sequence[str], n: int, encoder: EncoderIdentity) -> SplitCaptions:
    """Return the encoded prompts, in turn, for `n` images; empty captions without prompts.

    Raises:
        InputError: the encoder is not installed or not the model's, or a prompt is too long.
    """
    if not prompts:
        return SplitCaptions(EncodedCaptions.nothing(), np.zeros(n, np.int64))

    installed = dict(package.identity())
    if differences := [
        f"{key} {getattr(encoder, key)} is {value} here"
        for key, value in installed.items()
        if getattr(encoder, key) != value
    ]:
        raise InputError(
            f"this model was trained with the text encoder {encoder.name}, and this version of Atelier "
            "has another: " + ", ".join(differences)
        )
    table = text_encoder.encode(prompts)
    if table.cut:
        raise InputError(f"--prompt: at most {LONGEST} tokens, which are words or parts of words")
    return SplitCaptions(table, np.arange(n) % len(prompts))


def class_number(label: str, names: list[str] | None, card: DataSpec) -> int:
    """Return the number of a class given by name or number; where names are numbers, by name only."""
    if names and label in names:
        return names.index(label)
    numbered = any(map(str.isdecimal, names or []))
    if not numbered and label.isdecimal() and int(label) < card.num_classes:
        return int(label)
    classes = ", ".join(names[:20]) if names else f"0 to {card.num_classes - 1}"
    raise InputError(f"--label {label}: unknown class; known: {classes}")
