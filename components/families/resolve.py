"""Complete an experiment: the families that others build on, and every setting in full."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from components.config.experiment import Experiment
from components.families.catalogue import config_of, upstream_of


def with_upstream(experiment: Experiment, only: Collection[str] = ()) -> Experiment:
    """The experiment with all families or only these, each after the families it builds on.

    A family that is built on and that the experiment does not name is added with its default settings.
    """
    blocks: dict[str, dict[str, Any]] = {}

    def add(family: str) -> None:
        for below in upstream_of(family, experiment.families).values():
            add(below)
        blocks.setdefault(family, experiment.families.get(family, {}))

    for family in experiment.families:
        if not only or family in only:
            add(family)
    return experiment.model_copy(update={"families": blocks})


def resolved(experiment: Experiment, device: str, precision: str) -> Experiment:
    """The experiment with nothing left to choose: each family's own and training settings in full."""
    blocks: dict[str, dict[str, Any]] = {}
    whole = with_upstream(experiment)
    for family, block in whole.families.items():
        own = {name: value for name, value in block.items() if name != "train"}
        settings = whole.training(family)
        if settings.precision == "auto":
            settings = settings.model_copy(update={"precision": precision})
        blocks[family] = config_of(family, own) | {"train": settings.model_dump(mode="json")}
    return whole.model_copy(update={"device": device, "families": blocks, "train": {}})
