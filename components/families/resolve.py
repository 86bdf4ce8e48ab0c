"""Complete an experiment: add upstream families and fill in all settings."""

from __future__ import annotations

from collections.abc import Callable, Collection

from components.common.errors import InputError
from components.config.experiment import Experiment, Families
from components.config.train import Initial
from components.families.catalogue import config_of, encodes, features_of, upstream_of


def with_upstream(experiment: Experiment, only: Collection[str] = ()) -> Experiment:
    """Return the experiment with all families or `only` some, each after its upstream families.

    Upstream families that the experiment does not name are added with default settings.
    """
    blocks: Families = {}

    def add(family: str) -> None:
        for upstream in upstream_of(family, experiment.families).values():
            add(upstream)
        blocks.setdefault(family, experiment.families.get(family, {}))

    for family in experiment.families:
        if not only or family in only:
            add(family)
    return experiment.model_copy(update={"families": blocks})


def resolved(
    experiment: Experiment,
    device: str,
    precision: str,
    features: Callable[[str], str] = str,
    initial: Callable[[Initial], Initial] = lambda initial: initial,
) -> Experiment:
    """Return the experiment with upstream families, device, and all settings of each family in full.

    Args:
        experiment: the experiment as written.
        device: the device to compute on.
        precision: replaces `auto`.
        features: returns the frozen network that a perceptual loss uses, given its setting.
        initial: returns the full address and the hash of a model to begin with, given its setting.

    Raises:
        InputError: a family or setting does not exist, or no family suits `evaluate.held_out_classes`.
    """
    blocks: Families = {}
    complete = with_upstream(experiment)
    check_held_out(complete)
    for family, block in complete.families.items():
        config = config_of(family, {name: value for name, value in block.items() if name != "train"})
        if network := features_of(family, config):
            config = {**config, "perceptual_network": features(network)}
        settings = complete.training(family)
        if settings.precision == "auto":
            settings = settings.model_copy(update={"precision": precision})
        if settings.initial:
            settings = settings.model_copy(update={"initial": initial(settings.initial)})
        blocks[family] = {**config, "train": settings.model_dump(mode="json")}
    return complete.model_copy(update={"device": device, "families": blocks, "train": {}})


def check_held_out(experiment: Experiment) -> None:
    """Raise InputError if classes are held out, and no family could be trained without them."""
    if experiment.evaluate.held_out_classes and not any(map(encodes, experiment.families)):
        names = ", ".join(experiment.families)
        raise InputError(
            f"evaluate.held_out_classes needs a family that encodes images; none of {names} does"
        )
