"""Private members of Ray Train that trainings need, under public names.

Only files of this name use private members of Ray. If a new version of Ray changes one of these,
tests/training/test_ray_private.py fails.
"""

from __future__ import annotations

from typing import Any

from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer


class Trainer(DataParallelTrainer):
    """Ray's trainer with the processes and the process group that a training needs, and no others.

    Trainings read their data themselves, so the process that hands out Ray's data sets is left out: 200 MB.

    Args:
        alone: one worker on a CPU: without a process group of torch, and without torch in Ray's controller,
            which saves seconds and 400 MB of a training.
        guarded: with the process that frees the workers' resources if the controller is killed. It asks the
            dashboard whether the controller lives; without a dashboard each question takes ten seconds, and a
            training does not end before the last one is answered.
        arguments: of Ray's own trainers.
    """

    def __init__(self, worker: Any, *, alone: bool, guarded: bool, **arguments: Any):
        self.guarded = guarded
        gpu = arguments["scaling_config"].use_gpu
        backend = BackendConfig() if alone else TorchConfig(backend="nccl" if gpu else "gloo")
        super().__init__(worker, backend_config=backend, **arguments)

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        callbacks: list[RayTrainCallback] = super()._create_default_callbacks()
        unused = (DatasetsCallback,) if self.guarded else (DatasetsCallback, PlacementGroupCleanerCallback)
        return [callback for callback in callbacks if not isinstance(callback, unused)]
