"""A run to launch, and what launches runs. flows/launch.py chooses the launcher."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from components.config.experiment import Experiment
from components.records.run import RunManifest


@dataclass(frozen=True)
class Launch:
    """A run to start or to continue."""

    experiment: Experiment  # resolved
    force: Collection[str] = ()  # stages
    explain: bool = False
    smoke: bool = False
    command: str = ""  # as typed
    resume: str | None = None  # the id of an interrupted sweep's run


class Launcher(Protocol):
    """The interface of launchers, which run experiments."""

    def run(self, launch: Launch) -> RunManifest:
        """Run an experiment to its end; return the record of the run.

        Raises:
            InputError: it cannot be run there.
            RunError: it failed.
        """
