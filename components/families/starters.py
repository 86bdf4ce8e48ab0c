"""The families that suit a data set, with settings for a first training (starters.yaml)."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from components.common.errors import InputError
from components.common.plain_yaml import read_yaml
from components.data.card import DatasetCard
from components.families.catalogue import advice_on, build, card_for

FEWEST_STEPS = 300  # of a training that may show something

Kind = Literal["images", "pairs", "unpaired", "enlarge"]


class Starter(BaseModel):
    """A family with settings, and the data that it suits; see starters.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: str
    data: Kind
    pixels: tuple[int, int]
    images: tuple[int, int] = (0, 10**9)
    channels: int | None = None  # None: any
    because: str
    recognisable_steps: int = 0  # fewer draw pictures in which nothing can be recognised; 0: not measured
    settings: dict[str, Any]
    otherwise: dict[str, Any] = {}  # added where the family advises against `settings` for the data

    @property
    def least_steps(self) -> int:
        """The steps of a training that is worth its time."""
        return max(FEWEST_STEPS, self.recognisable_steps // 2)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the family, without those of its training."""
        return {name: value for name, value in self.settings.items() if name != "train"}

    def why_not(self, data: DatasetCard) -> str | None:
        """Return why it does not suit a data set of its kind; None if it does."""
        images, (low, high) = data.counts["train"], self.pixels
        if not low <= data.resolution <= high:
            return f"it suits {low} to {high} pixels"
        if self.channels not in (None, data.channels) or not self.images[0] <= images <= self.images[1]:
            return "other settings suit this number of images and colours"
        try:
            build(self.family, self.config, card_for(self.family, self.config, data))
        except InputError as error:
            return str(error)
        return None

    def for_data(self, data: DatasetCard) -> Starter:
        """Return it with the settings for a data set."""
        if not advice_on(self.family, self.config, card_for(self.family, self.config, data)):
            return self
        return self.model_copy(update={"settings": {**self.otherwise, **self.settings}})


def starters() -> list[Starter]:
    """Return all starters, the best first."""
    content = read_yaml(files("components.families").joinpath("starters.yaml").read_text("utf-8"))
    return TypeAdapter(list[Starter]).validate_python(content)


def kind_of(data: DatasetCard) -> Kind:
    """Return what a model of a data set learns: images, or how to make them from sources."""
    if data.sources is None:
        return "images"
    if not data.sources.are_paired:
        return "unpaired"
    return "enlarge" if data.sources.resolution < data.resolution else "pairs"


def suitable(data: DatasetCard) -> tuple[list[Starter], dict[str, str]]:
    """Return the starters that suit a data set, one for each family, and why other families do not."""
    chosen: dict[str, Starter] = {}
    refused: dict[str, str] = {}
    for starter in starters():
        if starter.data != kind_of(data) or starter.family in chosen:
            continue
        if reason := starter.why_not(data):
            refused[starter.family] = reason
        else:
            chosen[starter.family] = starter.for_data(data)
    return list(chosen.values()), {name: why for name, why in refused.items() if name not in chosen}
