"""Run a training job under Ray Train."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Any

from components.cluster.ray_cluster import (
    ENVIRONMENT,
    PREEMPTION_WATCHER,
    WORKERS_START,
    cause_of,
    check_resources,
    connect,
    raise_if_interrupted,
    unless_interrupted,
)
from components.common.errors import Diverged, InputError, RunError
from components.common.interruption import interrupted
from components.common.public import public, public_errors
from components.records.names import RESULT
from components.records.stored import WorkerError
from components.store import Store
from components.store.errors import LostLease, outlasting
from components.training import job as training_job
from components.training import request
from components.training.distributed import Group

if TYPE_CHECKING:
    from components.training.request import TrainRequest


ERROR = "error.json"  # in an attempt's folder: why a worker stopped

# Ray starts as many workers of [LEAST, MOST] as it counts room for, and counts the room of a node for half a
# minute after it is lost, or for as long as it is being drained. After this time it counts again.
ELASTIC_START = "20"  # seconds

IN_MAIN_THREAD = 30.0  # seconds within which a worker's main thread calls a function
GRACE = 20.0  # seconds that a worker has to store a checkpoint after SIGTERM

terminated = threading.Event()  # set in a worker that was sent SIGTERM
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
            training_job.fit(job, report=raise_if_interrupted, leaving=interrupted.is_set)
        return
    connect()
    if isinstance(settings.workers, tuple) and os.environ.get(WORKERS_START) == ENVIRONMENT[WORKERS_START]:
        os.environ[WORKERS_START] = ELASTIC_START  # Ray retries without limit, so other trainings still wait
    warnings.filterwarnings("ignore", module="ray")
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from components.cluster.ray_private import has_dashboard
    from components.training.ray_private import Trainer

    gpu = job.device == "cuda"
    check_resources(settings.least_workers, settings.torch_threads, gpu)
    filesystem, path = job.store.child(job.attempt).arrow()
    trainer = Trainer(
        _worker,
        alone=settings.workers == 1 and not gpu,
        guarded=has_dashboard(),
        train_loop_config=asdict(job),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,  # type: ignore[arg-type]  # annotated for earlier releases
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
        unless_interrupted(trainer.fit)
    except Exception as error:  # Ray wraps a worker's exception in its own classes
        raise cause_of(error) from error
    attempt.delete("ray")  # its state for a restart, which a finished training does not need
    raise_error(attempt)


def in_main_thread(function: Callable[[], None]) -> None:
    """Call a function in the main thread of this worker, where alone Python handles signals."""
    import ray

    ray.get(ray.get_runtime_context().current_actor.execute.remote(function), timeout=IN_MAIN_THREAD)


def expect_termination() -> None:
    """Let this worker continue after SIGTERM, to store a checkpoint, until the next one or for GRACE seconds.

    Called in the main thread of the worker.
    """
    ends = signal.getsignal(signal.SIGTERM)

    def notice(number: int, frame: FrameType | None) -> None:
        signal.signal(number, ends)
        terminated.set()
        last = threading.Timer(GRACE, os.kill, (os.getpid(), number))
        last.daemon = True
        last.start()

    signal.signal(signal.SIGTERM, notice)


def raise_error(attempt: Store) -> None:
    """Raise the error that a worker has stored instead of a result, and delete it."""
    if attempt.exists(RESULT) or not attempt.exists(ERROR):
        return
    failed = WorkerError.model_validate(attempt.read_json(ERROR))
    attempt.delete(ERROR)
    raise (Diverged if failed.diverged else RunError)(failed.error)


def _worker(config: Mapping[str, Any]) -> None:
    """Train on one worker; store an error that a restart would repeat, instead of raising it to Ray."""
    import ray.train
    import ray.train.torch

    job = request.TrainRequest(**config)
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())

    with suppress(Exception):  # it needs a method of Ray Train's own; without it, SIGTERM ends the worker
        in_main_thread(expect_termination)
    watched = os.environ.get(PREEMPTION_WATCHER) != "0"

    def report(step: int, metrics: dict[str, float], checkpoint: str | None) -> None:
        # The trainer has stored its checkpoint; this only tells Ray that the worker is alive.
        if terminated.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
        ray.train.report({"step": step, **metrics})

    def leaving() -> bool:
        reclaimed = watched and ray.train.get_preemption_info() is not None  # a barrier: all ask each time
        return terminated.is_set() or reclaimed

    with public_errors():  # Ray logs them
        try:
            training_job.fit(job, group, report, leaving)
        except (InputError, RunError) as error:
            if group.rank == 0:
                failure = WorkerError(error=public(str(error)), diverged=isinstance(error, Diverged))
                with suppress(LostLease):  # the driver notices the same
                    outlasting(lambda: job.store.child(job.attempt).write_json(ERROR, failure.to_json()))
