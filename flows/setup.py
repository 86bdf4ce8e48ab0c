"""Make a resolved experiment from a config file, and its plan."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.cluster import resources
from components.common.errors import InputError
from components.common.paths import home
from components.common.public import without_secrets
from components.config import loading
from components.config.experiment import Experiment
from components.config.train import Initial, Train
from components.data import local
from components.data.card import DatasetCard
from components.data.sources.splits import evaluable
from components.extractors import perceptual_network
from components.families.catalogue import config_of
from components.families.resolve import resolved, with_upstream
from components.pipeline.graph import STAGES
from components.pipeline.plan import Plan
from components.registry.models import identified
from components.store import Store, open_store

# In the header of a config.
HARDWARE, MINUTES = (
    re.compile(rf"^# +{word} +(.*)$", re.MULTILINE | re.IGNORECASE) for word in ("hardware", "minutes")
)
SMOKE = {
    "steps": 8,
    "checkpoint_every": 4,
    "validate_every": 4,
    "num_snapshots": 2,
    "log_every": 2,
    "smoke": True,
}
SMOKE_PART = 4  # images of a micro-batch, which a minibatch deviation takes
SMOKE_MOST = {"snapshot_samples": 16, "sample_images": 20, "validation_images": 64}  # in a training
SMOKE_SAMPLER_STEPS = 3  # a first, a middle and a last one
# Settings of networks, each accepted with the ones before it: heads and groups divide the width.
SMOKE_NETWORK = {"heads": 1, "group_width": 16, "width": 16, "blocks": 2, "layers": 4, "channel_base": 128}
SMOKE_EVALUATE = {
    "samples": 8,
    "extractor_steps": 12,
    "reference_images": 500,
    "analysis_images": 100,
    "classifier_steps": 4,
}


def experiment(
    path: Path, changes: Sequence[str], only: Collection[str] = (), *, smoke: bool = False
) -> Experiment:
    """Return the resolved experiment of a config file with the command line's changes."""
    read = loading.load(path, changes)
    if unknown := [family for family in only if family not in read.families]:
        raise InputError(f"--only {unknown[0]}: {loading.not_in(unknown[0], read.families, path)}")
    for sentence in loading.overridden(read, changes, only):
        print(f"atelier: {without_secrets(sentence)}", file=sys.stderr)

    families = with_upstream(read, only).families
    if smoke:
        few = {"ablation_samples": min(16, read.evaluate.ablation_samples), **SMOKE_EVALUATE}
        families = {name: smoke_family(read, name) for name in families}
        update = {
            "evaluate": read.evaluate.model_copy(update=few),
            "gate": read.gate.model_copy(update={"review": "never"}),
        }
        read = read.model_copy(update=update)
    settings = read.model_dump(exclude_unset=True)  # unset settings are chosen below
    read = loading.parse({**settings, "families": families}, str(path))
    if read.cluster and read.device == "auto":
        raise InputError(
            f"device: auto would be that of this machine, not of the cluster {read.cluster}; set device to "
            "cuda or cpu"
        )
    device = resources.device(read.device)

    def initial(setting: Initial) -> Initial:
        return identified(open_store(read.store.url, home()), setting)

    return resolved(read, device, resources.precision("auto", device), perceptual_network.chosen, initial)


def advice_on_hardware(path: Path, device: str) -> str:
    """Return a sentence if the header of a config names a GPU and there is none; else nothing."""
    hardware = HARDWARE.search(path.read_text("utf-8", errors="replace"))
    if device != "cpu" or not hardware or "GPU" not in hardware[1] or "no GPU" in hardware[1]:
        return ""
    return (
        f"{path.name} is for {hardware[1].strip()}, and this machine has no GPU that can be used; "
        "`atelier init NAME` writes a config for data and machine"
    )


def stated_minutes(path: Path) -> str:
    """Return the minutes that the header of a config states, in its words; nothing if it states none."""
    minutes = MINUTES.search(path.read_text("utf-8", errors="replace"))
    return f"{path.name} states in minutes: {minutes[1].strip()}" if minutes else ""


def smoke_training(experiment: Experiment, family: str) -> Mapping[str, Any]:
    """Return the settings of a family's training with --smoke: a few steps, and few images of each kind."""
    block = experiment.families.get(family, {}).get("train", {})
    before = Train(**{**experiment.train, **block})
    limits = {**SMOKE_MOST, "batch": SMOKE_PART * before.micro_batches}
    most = {name: min(number, getattr(before, name)) for name, number in limits.items()}
    return {**block, **SMOKE, **most}


def smoke_family(experiment: Experiment, family: str) -> dict[str, Any]:
    """Return a family's settings with --smoke: few steps of its sampler, and small networks.

    Networks keep their size if a training begins with the weights of a model, or none would fit.
    """
    block = {n: value for n, value in experiment.families.get(family, {}).items() if n != "train"}
    begun = any(experiment.training(name).initial for name in experiment.families)
    for name, least in {"sampler_steps": SMOKE_SAMPLER_STEPS, **({} if begun else SMOKE_NETWORK)}.items():
        block |= least_accepted(family, block, name, least)
    return {**block, "train": smoke_training(experiment, family)}


def least_accepted(family: str, block: Mapping[str, Any], name: str, least: int) -> Mapping[str, Any]:
    """Return the setting `name` with the smallest value, `least` or more, that the family accepts.

    Nothing if the value is not larger, or the family has no such setting.
    """
    for value in range(least, config_of(family, block).get(name) or 0):
        with suppress(InputError):
            config_of(family, {**block, name: value})
            return {name: value}
    return {}


def plan_of(experiment: Experiment, store: Store) -> Plan | None:
    """Return the plan, or None if the data is not prepared. Nothing is prepared or written."""
    name, revision = experiment.data.name, experiment.data.revision
    prepared = local.find_prepared(home(), name, revision)
    if prepared is None:
        local.check_exists(home(), name)
        return None
    folder, version = prepared
    return Plan.of(experiment, version, evaluable(DatasetCard.read(folder)), store)


def check_stages(names: Collection[str]) -> None:
    """Raise InputError if a stage does not exist."""
    stages = [stage.name for stage in STAGES]
    for name in names:
        if name not in stages:
            raise InputError(f"unknown stage {name!r}; known: {', '.join(stages)}")
