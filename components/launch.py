"""Ray: where jobs run. The only module, with sweeps, that knows it.

A fit is a Ray Train run: workers as actors, gloo or NCCL between them, restarted after a failure. Everything
else is a plain Ray task. `workers: 0` runs in the calling process, without Ray.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import secrets
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import Diverged, InputError, RunError
from components.memory import give_back

if TYPE_CHECKING:
    from components.config import Experiment
    from components.jobs import Fit

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
_in_process = threading.Lock()  # torch's random state belongs to the process: one fit at a time


def device(wanted: str = "auto") -> str:
    """`wanted`, or what jobs will run on: cuda where its driver shows a GPU. Does not import torch."""
    if wanted != "auto":
        return wanted
    return "cuda" if gpus() else "cpu"


def gpus() -> int:
    """CUDA devices of this machine."""
    with contextlib.suppress(OSError):
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def precision(wanted: str, device: str) -> str:
    """`wanted`, or bfloat16 where the processor is faster with it, else float32."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device == "cuda" or fast_bfloat16() else "float32"


def fast_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 faster than float32: with AMX, or AVX-512 not of Intel.

    A virtual machine may hide AMX. What is left of Intel's processors then, AVX512-BF16, is half as fast as
    float32 (docs/measured.md).
    """
    try:
        told = cpuinfo.read_text()
    except OSError:
        return False
    return "amx_bf16" in told or ("avx512_bf16" in told and "GenuineIntel" not in told)


def cores() -> int:
    """Cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(experiment: Experiment, of: int | None = None) -> int:
    """How many trainings to start at once: as many as fit this machine; on a cluster all, Ray queues them.

    Args:
        experiment: whose families are trained.
        of: the trainings that there are; None: one a family.
    """
    if os.environ.get("RAY_ADDRESS"):
        return of or len(experiment.families)
    settings = [experiment.training(family) for family in experiment.families]
    if experiment.device == "cuda":
        return max(1, gpus() // max(max(1, s.workers) for s in settings))
    return max(1, cores() // max(s.threads * max(1, s.workers) for s in settings))


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


def _unless_stopping(step: int, metrics: dict[str, float], checkpoint: str | None) -> None:
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
        raise _cause(error) from None
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


def fit(job: Fit, name: str) -> None:
    """Train under Ray Train, with the workers that the job's settings ask for.

    Args:
        job: what to train, and where to leave it.
        name: of the Ray run; the same for every start of the same attempt.

    Raises:
        RunError: training failed for good; says why and what to do.
    """
    settings = job.settings
    if settings.workers == 0:
        from components import jobs

        with _in_process:
            jobs.fit(job, report=_unless_stopping)
        return
    connect()
    warnings.filterwarnings("ignore", module="ray")
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from components.storage import Store

    gpu = job.device == "cuda"
    _fits(settings.workers, settings.threads, gpu)
    filesystem, path = Store(job.store).child(job.attempt).arrow()
    trainer = TorchTrainer(
        _worker,
        train_loop_config=asdict(job),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": settings.threads} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=f"{path}/ray",
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=settings.max_failures),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray wraps what a worker raised in kinds of its own
        raise _cause(error) from error
    attempt = Store(job.store).child(job.attempt)
    attempt.delete("ray")  # its notes for a restart, which a finished fit has no use for
    if attempt.exists("error.json"):
        failed = attempt.read_json("error.json")
        attempt.delete("error.json")
        raise (Diverged if failed["diverged"] else RunError)(failed["error"])


def _worker(config: dict[str, Any]) -> None:
    """One worker of a fit. A mistake that a restart would only repeat is reported, not raised to Ray."""
    import ray.train
    import ray.train.torch

    from components import jobs
    from components.distributed import Group
    from components.storage import Store

    job = jobs.Fit(**config)
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())

    def report(step: int, metrics: dict[str, float], checkpoint: str | None) -> None:
        # The trainer has stored its checkpoint itself, as one file; Ray is told that the worker is alive.
        ray.train.report({"step": step, **metrics})

    try:
        jobs.fit(job, group, report)
    except (InputError, RunError) as error:
        if group.rank == 0:
            told = {"error": str(error), "diverged": isinstance(error, Diverged)}
            Store(job.store).child(job.attempt).write_json("error.json", told)


def _fits(workers: int, threads: int, gpu: bool) -> None:
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


def _cause(error: BaseException) -> Exception:
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
