"""Run experiments, and list the runs of a store."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.light import whole_install
from components.common.paths import config_path, home
from components.records.run import RunManifest, flat
from components.registry.runs import newest_first
from components.store import open_store


def run(
    config: str | os.PathLike[str] | None = None,
    *,
    only: Sequence[str] = (),
    force: Sequence[str] = (),
    smoke: bool = False,
    **changes: Any,
) -> RunManifest:
    """Run the experiment of a config file; to resume, call it again.

    `atelier.run("configs/quickstart.yaml", data={"name": "mine"}, families={"vae": {"lr": 2e-3}})` is
    `atelier run configs/quickstart.yaml --set data.name=mine --set families.vae.lr=2e-3`.

    Args:
        config: a YAML file; None: the quick start.
        only: run these families only, with those that they build on.
        force: stages to run although they are done.
        smoke: run a few steps of everything, to check that it works.
        changes: sections of the config with the settings to change; those left out stay as in the file.

    Returns:
        The record of the run: `status` (done, or partial if a family failed), `results` with the metrics of
        each family, `models`, and `report`, its page in the store. `atelier.load(f"{run_id}/{family}")`
        loads a model.

    Raises:
        InputError: a setting is not accepted, or the data cannot be used.
        RunError: a stage that all families need failed.
    """
    with whole_install():
        from flows import environment

        environment.prepare()  # before Prefect is imported
        from flows import launch, launcher, setup

    path = config_path(None if config is None else Path(config).expanduser())
    settings = [f"{name}={json.dumps(value)}" for name, value in flat(changes)]
    experiment = setup.experiment(path, settings, only, smoke=smoke)
    if experiment.sweep:
        raise InputError(f"{path} describes a sweep; use `atelier sweep {path}`")
    return launch.launch(launcher.Launch(experiment, force, smoke=smoke, command="atelier.run"))


def runs(store: str = "output") -> list[RunManifest]:
    """Return the records of the runs and sweeps in a store, newest first, without unreadable ones.

    Args:
        store: a folder, relative to the project's, or any fsspec URL.
    """
    return list(newest_first(open_store(store, home()), RunManifest))
