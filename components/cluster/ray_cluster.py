"""Ray: where jobs run. The only module, with sweeps, that knows it.

A fit is a Ray Train run: workers as actors, gloo or NCCL between them, restarted after a failure. Everything
else is a plain Ray task. `workers: 0` runs in the calling process, without Ray.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from components.cluster.resources import cores
from components.common.errors import InputError, RunError
from components.common.memory import give_back

Job = str | Callable[..., Any]

MEGABYTE = 2**20

OBJECT_STORE = 256 * MEGABYTE  # jobs exchange small arrays only; Ray's own default is a third of the memory

# A worker with torch holds half a gigabyte: without a job for so long it ends, instead of one a core staying.
IDLE = {"num_workers_soft_limit": 0, "idle_worker_killing_time_threshold_ms": 5000}

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # report() waits for one poll: 2 s by default
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3600",  # 60 by default: a fit may wait for others to end
}

_lock = threading.Lock()

_stopping = threading.Event()


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine; once per process."""
    with _lock:
        if _stopping.is_set():
            raise RunError("interrupted")
        joining = bool(os.environ.get("RAY_ADDRESS"))
        defaults = dict(ENVIRONMENT)
        if not joining:
            # A cluster for this process alone, behind a token that is written nowhere.
            defaults |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ.update({name: value for name, value in defaults.items() if name not in os.environ})
        import ray  # reads the environment as it is imported

        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if joining:
            ray.init(**quiet)
            return
        ray.init(
            "local",  # not one that somebody else runs on this machine
            num_cpus=cores(),
            object_store_memory=OBJECT_STORE,
            _system_config=IDLE,
            include_dashboard=False,
            _node_ip_address="127.0.0.2",  # loopback; Ray replaces 127.0.0.1 by the machine's outward address
            **quiet,
        )


def stop() -> None:
    """End all jobs at once, from a signal's handler: what waits for them in other threads then fails."""
    _stopping.set()
    if "ray" in sys.modules:
        import ray

        ray.shutdown()


def raise_if_stopping(step: int, metrics: dict[str, float], checkpoint: str | None) -> None:
    """A report from a fit in this process, which no signal reaches otherwise."""
    if _stopping.is_set():
        raise RunError("interrupted")


def disconnect() -> None:
    """Leave the cluster; one that `connect` started ends, and all its jobs with it."""
    with _lock:
        if "ray" in sys.modules:
            import ray

            ray.shutdown()


def call(job: Job, *arguments: Any, cpus: float = 1, gpus: float = 0) -> Any:
    """Run one of the components' functions as a Ray task and wait for what it returns."""
    return each(job, [arguments], cpus=cpus, gpus=gpus)[0]


def each(job: Job, arguments: Iterable[tuple[Any, ...]], *, cpus: float = 1, gpus: float = 0) -> list[Any]:
    """Run a function once for each tuple of arguments, as Ray tasks side by side; results in order.

    Args:
        job: "components.module:function", by name, since this process need not import what workers do; or
            a function.
        arguments: plain values.
        cpus: of each task.
        gpus: of each task.
    """
    connect()
    import ray

    # Jobs are functions of their arguments and write whole files: one that lost its machine may simply run
    # again.
    options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 2, "runtime_env": _environment(cpus)}
    task = ray.remote(_done).options(**options)
    try:
        return ray.get([task.remote(job, *a) for a in arguments])
    except ray.exceptions.RayTaskError as error:
        raise cause_of(error) from None
    except ray.exceptions.RayError as error:
        raise RunError(f"Ray lost a job ({type(error).__name__}); run the same command to resume") from error


def _done(job: Job, *arguments: Any) -> Any:
    """What a job returns; the memory it no longer needs goes back, since the worker waits for other jobs."""
    try:
        if callable(job):
            return job(*arguments)
        module, _, function = job.partition(":")
        return getattr(importlib.import_module(module), function)(*arguments)
    finally:
        give_back()


def check_resources(workers: int, threads: int, gpu: bool) -> None:
    """Refuse at once what the cluster could never start, instead of waiting for it."""
    import ray

    have = ray.cluster_resources()
    needs = {"CPU": workers * threads} | ({"GPU": workers} if gpu else {})
    for resource, need in needs.items():
        if have.get(resource, 0) < need:
            raise InputError(
                f"{workers} workers with {threads} threads each need {need} {resource}s, but the cluster has "
                f"{have.get(resource, 0):g}; lower train.workers or train.threads, or set RAY_ADDRESS"
            )


def _environment(cpus: float) -> dict[str, Any]:
    return {"env_vars": {"OMP_NUM_THREADS": str(max(1, int(cpus)))}}


def cause_of(error: BaseException) -> Exception:
    """What really went wrong, under Ray's wrapping: ours as it is, anything else in one sentence."""
    inner: BaseException = error
    for _ in range(8):
        failures = getattr(inner, "worker_failures", None)
        following = (next(iter(failures.values())) if failures else None) or getattr(inner, "cause", None)
        if not isinstance(following, BaseException) or following is inner:
            break
        inner = following
    if isinstance(inner, InputError | RunError):
        return inner
    last = (str(inner).strip().splitlines() or [""])[-1]
    return RunError(
        f"{type(inner).__name__}: {last[:300]}; run the same command to resume from the last checkpoint"
    )
