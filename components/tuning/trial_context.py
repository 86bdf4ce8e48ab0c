"""The settings that all trials of a sweep share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from components.common.errors import InputError
from components.common.validation import explain
from components.config.sweep import Sweep
from components.config.train import Train
from components.stages.spec import Spec
from components.store import Store
from components.training import request

COLLAPSED = 1e6  # added to the score of collapsed samples, so that they rank behind all others

WORST = 1e9  # the score of a trial that failed


@dataclass(frozen=True)
class TrialContext:
    """The settings that all trials of a sweep share; plain values."""

    run_id: str
    spec: Spec  # spec of a trial without its settings
    training: request.TrainRequest  # request of a trial without its values
    model: str = ""  # the trained model, if only sampling settings are searched
    metric: str = "auto"
    diversity: float = 0.5  # minimum; less is a collapse
    share: float = 1.0  # steps of a trial over those of the experiment's training
    judgements: int = 8
    samples: int = 256
    pointers: bool = False  # whether trials continue from each other's checkpoints
    workers: int = 1

    @property
    def family(self) -> str:
        """The searched family."""
        return self.training.family

    @property
    def device(self) -> str:
        """The device of trials."""
        return self.training.device

    @property
    def threads(self) -> int:
        """Threads of a trial's process."""
        return int(self.training.train["torch_threads"])

    @property
    def store(self) -> Store:
        """The store with everything that a trial reads and writes."""
        return self.training.store


def train_of(sweep: Sweep, train: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training settings of trials: the experiment's own, with fewer steps and with evaluations.

    Raises:
        InputError: settings contradict each other.
    """
    if train["health"] == "treat":
        raise InputError(
            "trials: train.health=treat changes settings and goes back to earlier steps during training, so "
            "that evaluations would not be those of a trial's values; use observe or stop"
        )
    if train["setting_changes"]:
        raise InputError(
            "trials: train.setting_changes are the result of a population; remove them for a sweep"
        )
    steps = sweep.steps or train["steps"]
    if steps % sweep.evaluations:
        raise InputError(
            f"a trial of {steps} steps cannot be cut into sweep.evaluations={sweep.evaluations} parts"
        )
    settings = {
        **train,
        "steps": steps,
        "num_snapshots": sweep.evaluations,
        "checkpoint_every": steps // sweep.evaluations,
        "snapshot_samples": sweep.samples,
        "ema_sigma_rel": [],
        "workers": sweep.workers,
    }
    try:
        Train(**settings)
    except ValidationError as error:
        raise InputError(f"trials: {explain(error, 'train', Train)}") from None
    return settings
