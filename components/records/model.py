"""A model's config.json: what is needed, besides the weights, to sample from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from components.common.chunks import CHUNK
from components.records.base import Record
from components.records.captions import CaptionEncoder


class ReconstructionErrors(Record):
    """Errors of reconstructions of images that a model has not seen, in rising order.

    `roughness` and `contrast` are those of the same images; empty in models of earlier versions.
    """

    measure: str
    split: str
    n: int  # images
    values: list[float]
    roughness: list[float] = []
    contrast: list[float] = []


class ModelOrigin(Record):
    """The run that trained a model, and the step of its weights."""

    run_id: str
    step: int | None = None


class ModelConfig(Record):
    """config.json of a model."""

    family: str
    config: Mapping[str, Any]  # the family's settings in full
    card: Mapping[str, Any]  # what the family knows of the data
    labels: list[str] | None = None  # the names of the classes
    upstream: Mapping[str, ModelConfig] = {}  # of the upstream models by name, to rebuild them
    encoder: CaptionEncoder | None = None  # of captions; its weights are not saved
    errors: ReconstructionErrors | None = None
    background: str | None = None  # the colour behind transparent pixels
    origin: ModelOrigin | None = None  # of an exported model


class PublishedSamples(Record):
    """samples.json of an exported model: how its published samples are drawn.

    Their other conditions are arrays in conditions.safetensors.
    """

    n: int
    seed: int
    threads: int  # of torch, on which bits depend
    batch: int = Field(CHUNK, ge=1)  # images drawn at once, on which bits depend as well
    captions: list[str] | None = None  # for people: the model reads their encodings
