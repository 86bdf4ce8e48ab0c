"""Run a training job under Ray Train."""

from __future__ import annotations

import threading
import warnings
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from components.cluster.ray_cluster import cause_of, check_resources, connect, raise_if_interrupted
from components.common.errors import Diverged, InputError, RunError
from components.common.public import public, public_errors
from components.records.names import RESULT
from components.store import Store
from components.store.errors import LostLease, outlasting
from components.training import job as training_job
from components.training import request
from components.training.distributed import Group

if TYPE_CHECKING:
    from components.training.request import TrainRequest


ERROR = "error.json"  # in an attempt's folder: why a worker stopped

_in_process = threading.Lock()  # torch's random state belongs to the process: one fit at a time


def fit(job: TrainRequest, name: str) -> None:
    """Train under Ray Train with the number of workers of the job's settings; 0 trains in this process.

    Args:
        job: the training job.
        name: name of the Ray run; the same for every start of the same attempt.

    Raises:
        RunError: training failed, and restarts did not help.
    """
    settings = job.settings
    if settings.workers == 0:
        with _in_process:
            training_job.fit(job, report=raise_if_interrupted)
        return
    connect()
    warnings.filterwarnings("ignore", module="ray")
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    gpu = job.device == "cuda"
    check_resources(settings.workers, settings.torch_threads, gpu)
    filesystem, path = job.store.child(job.attempt).arrow()
    trainer = TorchTrainer(
        _worker,
        train_loop_config=asdict(job),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": settings.torch_threads} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=f"{path}/ray",
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=settings.max_failures),
        ),
    )
    attempt = job.store.child(job.attempt)
    attempt.delete(ERROR)  # of an earlier driver that was stopped before it read it
    try:
        trainer.fit()
    except Exception as error:  # Ray wraps a worker's exception in its own classes
        raise cause_of(error) from error
    attempt.delete("ray")  # its state for a restart, which a finished training does not need
    raise_error(attempt)


def raise_error(attempt: Store) -> None:
    """Raise the error that a worker has stored instead of a result, and delete it."""
    if attempt.exists(RESULT) or not attempt.exists(ERROR):
        return
    failed = attempt.read_json(ERROR)
    attempt.delete(ERROR)
    raise (Diverged if failed["diverged"] else RunError)(failed["error"])


def _worker(config: dict[str, Any]) -> None:
    """Train on one worker; store an error that a restart would repeat, instead of raising it to Ray."""
    import ray.train
    import ray.train.torch

    job = request.TrainRequest(**config)
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())

    def report(step: int, metrics: dict[str, float], checkpoint: str | None) -> None:
        # The trainer has stored its checkpoint; this only tells Ray that the worker is alive.
        ray.train.report({"step": step, **metrics})

    with public_errors():  # Ray logs them
        try:
            training_job.fit(job, group, report)
        except (InputError, RunError) as error:
            if group.rank == 0:
                failure = {"error": public(str(error)), "diverged": isinstance(error, Diverged)}
                with suppress(LostLease):  # the driver notices the same
                    outlasting(lambda: job.store.child(job.attempt).write_json(ERROR, failure))
