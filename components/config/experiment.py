"""The experiment: what to run, on which data, judged how, published where.

One frozen object, closed to unknown keys.

A section per stage. `families` holds a block per family: that family's own Config fields, and under `train`
whatever it overrides of the common training settings. Everything a result depends on is in here or in the
data.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from components.common.errors import InputError
from components.config.base import Section
from components.config.evaluate import Evaluate
from components.config.sweep import Sweep
from components.config.train import Train


class Data(Section):
    """Which prepared data set, and which version of it."""

    name: str = Field("mnist5k", pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    revision: str | None = None  # a git revision or a data version; None: the pinned one
    flips: bool = False  # mirror training images at random; off, since digits and letters must not be


class Publish(Section):
    """Where the accepted results go."""

    url: str | None = None  # any fsspec URL; None: published/ in the store


class Store(Section):
    """Where everything is kept."""

    url: str = "output"  # a folder (relative to the project) or any fsspec URL


class Experiment(Section):
    """One run, complete."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda if this machine has it
    data: Data = Data()
    families: dict[str, dict[str, Any]] = Field(min_length=1)
    train: dict[str, Any] = {}
    evaluate: Evaluate = Evaluate()
    sweep: Sweep | None = None
    publish: Publish = Publish()
    store: Store = Store()

    @property
    def swept(self) -> str:
        """The family that a sweep is about.

        Raises:
            InputError: there is no sweep, or it does not say which family it is about.
        """
        if self.sweep is None:
            raise InputError("this config has no section sweep: `atelier run` is for it")
        family = self.sweep.family or (next(iter(self.families)) if len(self.families) == 1 else None)
        if family not in self.families:
            known = ", ".join(self.families)
            raise InputError(f"sweep.family={family!r}: name the family to search, one of: {known}")
        return family

    def training(self, family: str) -> Train:
        """The training settings of `family`: the common ones, then its own."""
        return Train(**{**self.train, **self.families[family].get("train", {})})
