"""The experiment: what to run, on which data, judged how, published where. One frozen object, closed to unknown keys.

A section per stage. `families` holds a block per family: that family's own Config fields, and under `train` whatever
it overrides of the common training settings. Everything a result depends on is in here or in the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.errors import InputError


class Section(BaseModel):
    """A part of the experiment: frozen, typed, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Data(Section):
    """Which prepared data set, and which version of it."""

    name: str = Field("mnist5k", pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    revision: str | None = None  # a git revision or a data version; None: what is prepared now
    flips: bool = False  # mirror training images at random; off, since digits and letters must not be


class Train(Section):
    """How a family is trained. All but `workers` and the cadence of logs shape the weights, and are in the key."""

    steps: int = Field(1000, ge=1)
    batch: int = Field(128, ge=1)  # images per step, over all workers
    shards: int = Field(1, ge=1)  # the batch is cut into this many; statistics and randomness belong to a shard
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    schedule: Literal["constant", "linear", "cosine", "sqrt"] = "constant"  # of the learning rate, down to 0
    warmup_steps: int = Field(0, ge=0)
    clip: float | None = Field(None, gt=0)  # largest norm of a phase's gradient
    ema_half_life_images: int = Field(20_000, ge=0)  # 0: no averaging
    ema_ramp_up: float = Field(0.05, gt=0)  # half-life at most this fraction of the images seen so far
    patience: int | None = Field(None, ge=1)  # validations without improvement before stopping; None: never
    validate_every: int = Field(200, ge=1)  # steps, for families with a validation loss
    threads: int = Field(1, ge=1)  # per worker: changes bits, so it is part of what is trained
    workers: int = Field(1, ge=0)  # processes under Ray Train; 0: inside the calling process
    max_failures: int = Field(2, ge=0)  # times Ray restarts the workers of one fit
    log_every: int = Field(20, ge=1)  # steps
    checkpoint_every: int = Field(500, ge=1)  # steps
    sample_grids: int = Field(8, ge=1)  # fixed-seed grids through training, besides the one before it
    sample_images: int = Field(64, ge=1)  # images in a grid

    @model_validator(mode="after")
    def _fits(self) -> Train:
        if self.batch % self.shards:
            raise ValueError(f"batch={self.batch} cannot be cut into shards={self.shards} equal parts")
        if self.workers > 1 and self.shards % self.workers:
            raise ValueError(f"workers={self.workers} must divide shards={self.shards}")
        return self

    def semantic(self) -> dict[str, Any]:
        """What the trained weights depend on."""
        return self.model_dump(exclude=set(NOT_SEMANTIC))


NOT_SEMANTIC = ("workers", "max_failures", "log_every", "checkpoint_every")


class Evaluate(Section):
    """How the results are judged."""

    samples: int = Field(1000, ge=8)  # per side; at most the size of the test split
    seed: int = Field(1_000_000, ge=0)  # of the judged samples; training grids use others
    extractor: str = "auto"  # auto | classifier | rotation | inception; auto: classifier if labelled, else rotation
    inception_path: str | None = None  # the 2015 Inception weights; verified by sha256 before use
    extractor_epochs: int = Field(8, ge=1)


class Publish(Section):
    """Where the accepted results go."""

    url: str | None = None  # any fsspec URL; None: published/ in the store


class Store(Section):
    """Where everything is kept."""

    url: str = "output"  # a folder (relative to the project) or any fsspec URL


class Experiment(Section):
    """One run, complete."""

    data: Data = Data()
    families: dict[str, dict[str, Any]] = Field(min_length=1)
    train: dict[str, Any] = {}
    evaluate: Evaluate = Evaluate()
    publish: Publish = Publish()
    store: Store = Store()

    def training(self, family: str) -> Train:
        """The training settings of `family`: the common ones, then its own."""
        return Train(**{**self.train, **self.families[family].get("train", {})})
