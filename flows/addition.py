"""The command that trains one more family on the data of an earlier run, so that their results compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from components.common.errors import InputError
from components.common.paths import config_path, home
from components.common.plain_yaml import one_line
from components.config import loading
from components.config.experiment import Experiment
from components.config.train import Train
from components.families.catalogue import encodes
from components.families.starters import starters
from components.records.run import RunManifest, flat
from components.store import Store, open_store

DATA = ("data.name", "data.revision")
EXTRACTOR = (
    "evaluate.extractor",
    "evaluate.extractor_steps",
)  # settings that another pinned one would follow


def encoder() -> str:
    """Return the family that a first config takes to encode images."""
    return next(starter.family for starter in starters() if encodes(starter.family))


def to_add(family: str, run: RunManifest, store: Store) -> str:
    """Return the command that trains a family with the config, the data and the extractor of a run.

    Its training has no more steps than the longest of the run. Of a smoke run, whose numbers mean nothing,
    only the data is taken. A config that is not known, or lost, is replaced by the quick start's.
    """
    name, config = config_of(run)
    settings = {"data.name": run.lineage.data.name, **dict(flat(run.lineage.config))}
    own = dict(flat(config.model_dump(mode="json")))
    names = DATA if run.smoke else DATA + EXTRACTOR
    changes = [f"{key}={written(settings[key])}" for key in names if differs(key, settings, own)]
    if open_store(config.store.url, home()).url != store.url:
        changes.append(f"store.url={store.url}")
    common = Train(**config.train).steps
    steps = config.training(family).steps if family in config.families else common
    if family not in config.families:
        changes.append(f"families.{family}={one_line(starter_settings(family))}")
    longest = max(
        (n for key, n in settings.items() if key.endswith(".train.steps") and isinstance(n, int)),
        default=steps,
    )
    if longest < steps and not run.smoke:
        changes.append(f"families.{family}.train.steps={longest}")
    options = [part for change in changes for part in ("--set", change)]
    return " ".join(["atelier run", *map(quote, [*filter(None, [name]), *options, "--only", family])])


def starter_settings(family: str) -> Mapping[str, object]:
    """Return the settings of a family in a first config; empty if none has it."""
    return next((starter.settings for starter in starters() if starter.family == family), {})


def differs(key: str, settings: dict[str, object], own: dict[str, object]) -> bool:
    """Return whether a run had another value of a setting than its config would give it now."""
    return key in settings and settings[key] != "" and settings[key] != own.get(key)


def written(value: object) -> str:
    """Return the value of a setting as `--set` takes it."""
    return "null" if value is None else str(value)


def config_of(run: RunManifest) -> tuple[str, Experiment]:
    """Return the config file that the command of a run names, as typed, and what it holds now.

    The name is empty, and the config the quick start's, if it names none, or it is not there any more. The
    record of a run leaves out the folders of absolute paths.
    """
    named = next((word for word in run.command.split() if Path(word).suffix in (".yaml", ".yml")), "")
    if named:
        try:
            config = loading.load(config_path(Path(named)))
        except InputError:
            pass
        else:
            if config.sweep is None:  # which `atelier run` refuses
                return named, config
    return "", loading.load(config_path(None))
