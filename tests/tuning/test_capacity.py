"""How many trials fit a cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from components.config.sweep import Sweep
from components.tuning import capacity
from components.tuning.trial_context import TrialContext
from tests.tuning.conftest import changed


def sweep(**settings: Any) -> Sweep:
    return Sweep(search={"lr": None}, **settings)


def test_trials_of_one_process_share_a_gpu(context: TrialContext) -> None:
    machines, cuda = [{"CPU": 16.0, "GPU": 2.0}], changed(context, device="cuda")

    def fitting(trial: TrialContext, *machines: dict[str, float], **settings: Any) -> int:
        return capacity.trials_that_fit(list(machines), trial, sweep(**settings))

    assert [fitting(cuda, *machines, gpus=share) for share in (1.0, 0.5, 0.3)] == [2, 4, 6]
    assert fitting(cuda, {"CPU": 3.0, "GPU": 2.0}) == 3, "cores may be fewer"
    assert fitting(replace(cuda, workers=2), *machines) == 1, "two workers of a trial have a GPU each"
    assert fitting(replace(cuda, workers=2), *machines, *machines) == 2
    assert fitting(context, *machines) == 16 and capacity.gpu_share(context, sweep()) == 0
