"""`atelier init`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

from cyclopts import Parameter

from components.common.atomic import replacing
from components.common.errors import InputError
from components.common.paths import home
from flows.cli.shared import counted, progress_shown, say, say_next

BUSY = 0.25  # of the cores, from which on it is said that others use them


def init(
    name: str,
    /,
    *,
    minutes: float = 20,
    output: Annotated[Path | None, Parameter(alias="-o", metavar="FILE")] = None,
    replace: bool = False,
) -> None:
    """Write a first config for a data set: families that suit it, steps that fit the minutes.

    Args:
        name: a data set, which is prepared first if it is a known one
        minutes: minutes for the whole run on this machine, whose speed is measured by a few steps of each
            family
        output: a .yaml file (default: NAME.yaml)
        replace: replace a file that exists
    """
    path = output or Path(f"{name}.yaml")
    check_output(path, minutes, replace)

    from components.cluster import resources
    from components.data.card import DatasetCard
    from components.data.local import data_version
    from components.families.starters import suitable
    from components.pipeline import first_config
    from components.training.rates import measure_classifier
    from flows import setup

    folder, _ = data_version(home(), name, None)
    card = DatasetCard.read(folder)
    starters, refused = suitable(card)
    if not starters:
        reasons = "; ".join(f"{family}: {why}" for family, why in refused.items())
        raise InputError(f"no family for a first config suits {name} ({reasons}); see `atelier families`")
    device = resources.device("auto")
    machine = first_config.machine_of(device)
    if (busy := resources.busy_cores()) >= BUSY * resources.cores():
        machine += f", of which {busy:.1f} were busy with other programs while this was measured"
        say(
            f"other programs use {busy:.1f} of {resources.cores()} cores, and steps are measured as slow as "
            "they are now: use --replace when the machine is quiet"
        )
    say(f"measuring {counted(len(starters), 'family', 'families')}, about {10 * len(starters)} seconds ...")
    with progress_shown("measure"):
        candidates = first_config.measured(starters, card, folder, device)
        classifier = measure_classifier(folder)
    side_by_side = resources.cores() if device == "cpu" else resources.gpus()
    config = first_config.fitted(card, candidates, minutes, side_by_side, classifier, refused)
    command = f"atelier init {name} --minutes {minutes:g}"
    text = first_config.written(config, machine, command, path.name)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        setup.experiment(temporary, [])  # nothing is written that a run would refuse
    print(path)
    say(f"minutes: {first_config.in_minutes(config)}")
    for sentence in first_config.too_few(config):
        say(sentence)
    for family, why in config.refused.items():
        say(f"{family} left out: {why}")
    say_next(f"atelier run {quote(str(path))}; with --plan it only says what would run")


def check_output(path: Path, minutes: float, replace: bool) -> None:
    """Raise InputError for a file that exists or is no YAML, and for too few minutes."""
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"-o {path}: a config is a .yaml file")
    if path.exists() and not replace:
        raise InputError(f"{path} exists already: name another file with -o, or pass --replace")
    if not minutes > 0:
        raise InputError(f"--minutes {minutes:g} is not possible: give a number above 0")
