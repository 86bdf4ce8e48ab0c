"""The options of `atelier sample`, and the inputs they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.data.text import encoder as text_encoder
from components.data.text.encoded import LONGEST, EncodedCaptions, SplitCaptions
from components.families.catalogue import conditions, task_of
from components.records.captions import EncoderIdentity
from components.records.model import ModelConfig
from components.sampling.read_image import one_image, one_mask
from models.family import DataSpec, Generator, SourceShape


@dataclass(frozen=True)
class SampleOptions:
    """What samples are asked for; what is None is as the model has it."""

    label: str | None = None  # a class by name or number; None: all in turn
    source: Path | None = None  # an image to reconstruct, to enlarge, to fill in or to start from
    mask: Path | None = None  # white where the source is to be filled in; None: holes at random
    strength: float | None = None  # of the noise that is laid on the source to start from
    prompts: Sequence[str] = ()  # captions, which take turns; none: drawn without a caption
    steps: int | None = None  # of the sampler
    guidance_scale: float | None = None  # towards class or caption; 1: none
    sampler: str | None = None

    @property
    def settings(self) -> dict[str, tuple[str, Any]]:
        """What is to be changed of a model's settings: name -> (option, value)."""
        asked = {
            "sampler_steps": ("--steps", self.steps),
            "guidance_scale": ("--guidance-scale", self.guidance_scale),
            "sampler": ("--sampler", self.sampler),
            "strength": ("--strength", self.strength),
        }
        return {name: told for name, told in asked.items() if told[1] is not None}


def sampling_inputs(
    options: SampleOptions, n: int, generator: Generator, card: DataSpec, model: ModelConfig
) -> dict[str, Any]:
    """What `n` samples are made from."""
    name = model.family
    kinds, found = (
        conditions(name, model.config, card),
        _from_image(options, n, generator, card, model),
    )
    if options.label is not None and "label" not in kinds:
        raise InputError(f"--label {options.label}: this model was trained without labels")
    if len(options.prompts) > n:
        raise InputError(
            f"-n {n}: fewer than the {len(options.prompts)} prompts, of which each is to have one"
        )
    if options.prompts and "text" not in kinds:
        raise InputError(f"--prompt {options.prompts[0]!r}: this model was trained without captions")
    if options.guidance_scale is not None and not kinds:
        raise InputError(
            f"--guidance-scale {options.guidance_scale:g}: this model knows neither classes nor captions"
        )
    if options.label is not None:
        found["labels"] = class_number(options.label, model.labels, card)
    elif "label" in kinds and options.source is None:
        found["labels"] = np.arange(n) % card.num_classes
    elif "label" in kinds and not model.config.get("condition_dropout"):
        raise InputError("--source: this model was never without a label: say the image's with --label")
    if "text" in kinds and model.encoder:
        found["text"] = prompted(options.prompts, n, model.encoder)
    return found


def _from_image(
    options: SampleOptions, n: int, generator: Generator, card: DataSpec, model: ModelConfig
) -> dict[str, Any]:
    """The image, and its mask, that `n` samples are made from, for families that make them from one."""
    name, task = model.family, task_of(model.family)
    generates = task.made_from == "noise"
    if options.mask is not None and not hasattr(generator, "masked"):
        raise InputError(f"--mask {options.mask}: {name} fills no holes")
    if options.strength is not None and options.source is None:
        raise InputError(f"--strength {options.strength:g}: name the image to start from with --source FILE")
    if options.source is None:
        if generates:
            return {}
        raise InputError(f"{name} {task.verb} images: name one with --source FILE")
    if generates and "strength" not in model.config:
        raise InputError(f"{name} makes images from nothing: it takes no --source")
    if generates and model.config["strength"] == 1:
        raise InputError(
            "--source is to be laid under noise: say how much with --strength, above 0 and below 1"
        )

    smaller = SourceShape(card.channels, getattr(generator, "source_resolution", card.resolution))
    shape = card.source or smaller
    asked = DataSpec(shape.channels, shape.resolution)
    image = one_image(options.source, asked, model.background, exact=task.smaller_source)
    kind = "sources" if card.source or task.smaller_source else "images"
    found = {kind: np.repeat(image[None], n, axis=0)}
    if options.mask is not None:
        found["masks"] = np.repeat(one_mask(options.mask, card.resolution)[None], n, axis=0)
    return found


def prompted(prompts: Sequence[str], n: int, encoder: EncoderIdentity) -> SplitCaptions:
    """The prompts, encoded, for `n` images in turn; without any, no caption.

    Raises:
        InputError: the encoder is not installed or not the model's, or a prompt is too long for it.
    """
    if not prompts:
        return SplitCaptions(EncodedCaptions.nothing(), np.zeros(n, np.int64))

    installed = dict(text_encoder.identity())
    if others := [
        f"{key} {getattr(encoder, key)} is {value} here"
        for key, value in installed.items()
        if getattr(encoder, key) != value
    ]:
        raise InputError(
            f"this model was told captions by {encoder.name}, and this version of Atelier has another: "
            + ", ".join(others)
        )
    table = text_encoder.encode(prompts)
    if table.cut:
        raise InputError(f"--prompt: at most {LONGEST} tokens, which are words or parts of them")
    return SplitCaptions(table, np.arange(n) % len(prompts))


def class_number(label: str, names: list[str] | None, card: DataSpec) -> int:
    """A class by its name or number."""
    if names and label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < card.num_classes:
        return int(label)
    known = ", ".join(names[:20]) if names else f"0 to {card.num_classes - 1}"
    raise InputError(f"--label {label}: unknown class; known: {known}")
