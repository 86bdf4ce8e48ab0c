"""Run jobs as Ray tasks, on the cluster of RAY_ADDRESS or a local one.

Trainings are Ray Train runs instead: workers are actors with gloo or NCCL between them, restarted after a
failure. With `workers: 0` a training runs in the calling process, without Ray.
"""

from __future__ import annotations

import contextvars
import importlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

from components.cluster.resources import cores
from components.cluster.temporary import short_folder
from components.common import loopback, progress
from components.common.errors import InputError, RunError, sentence
from components.common.interruption import interrupted
from components.common.memory import give_back, set_imports_aside
from components.common.public import public_errors

T = TypeVar("T")
A = TypeVar("A")

Job = str | Callable[..., Any]

MEGABYTE = 2**20

OBJECT_STORE = 256 * MEGABYTE  # jobs exchange small arrays only; Ray's default is a third of the memory

# An idle worker with torch holds half a gigabyte and ends after this time; by default one per core stays.
IDLE = {"num_workers_soft_limit": 0, "idle_worker_killing_time_threshold_ms": 5000}

RAYLET = "raylet"  # the program that starts the workers of a node

POLL, PATIENCE = 1.0, 5.0  # seconds between looks at `interrupted`, and that jobs have to end after it

WORKERS_START = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # default 2; report() waits for one poll
    WORKERS_START: "3600",  # default 60; a training may wait for others to end
}

PREEMPTION_WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"

OWN_CLUSTER = {
    "RAY_AUTH_MODE": "token",
    # Its only node is not taken away during a training; the watcher is a process more for each.
    PREEMPTION_WATCHER: "0",
}

ADDRESS_SECONDS = 5.0  # until a cluster must answer; Ray itself waits for minutes

# How a connection of HTTP/2, on which gRPC builds, begins: the preface and an empty frame of settings.
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

_lock = threading.Lock()


def check_address() -> None:
    """Raise InputError if RAY_ADDRESS names a host and port where no cluster answers."""
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "auto", "local"):
        return
    try:
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        place = (parts.hostname or "", parts.port or 10001)  # Ray's own default
        with socket.create_connection(place, ADDRESS_SECONDS) as connection:
            connection.settimeout(ADDRESS_SECONDS)
            if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
                connection.sendall(HTTP2)
                if connection.recv(9)[3:4] != b"\x04":  # the type of the answer's first frame
                    raise ConnectionError("what answers is not Ray")
    except (OSError, ValueError) as error:
        raise _unreachable(error) from None


def _unreachable(error: Exception) -> InputError:
    reason = sentence(error.__cause__ or error)  # Ray's own error says only that it failed
    return InputError(
        f"{os.environ['RAY_ADDRESS']}: no Ray cluster can be joined there ({reason}); start it, or "
        "correct its address and RAY_AUTH_TOKEN; without --on, a setting cluster and RAY_ADDRESS, this "
        "machine is used"
    )


def connect() -> None:
    """Join the cluster of RAY_ADDRESS, or start one on this machine; once per process.

    Raises:
        InputError: the cluster cannot be joined, or there is no folder for a local one's sockets.
        RunError: the run is to end, or a local cluster does not start.
    """
    with _lock:
        if interrupted.is_set():
            raise RunError("interrupted")
        loopback.bypass_proxies()
        joining = bool(os.environ.get("RAY_ADDRESS"))
        defaults = dict(ENVIRONMENT)
        if not joining:
            # A cluster for this process only, protected by a token that is not stored.
            defaults |= OWN_CLUSTER | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ.update({name: value for name, value in defaults.items() if name not in os.environ})
        import ray  # reads the environment on import

        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if joining:
            check_address()
            try:
                with _own_handler():
                    ray.init(**quiet)
            except (
                OSError,
                RuntimeError,
                ValueError,
            ) as error:  # another version or another token, for example
                raise _unreachable(error) from None
            return
        try:
            with _own_handler():
                _start(ray, quiet)
        except Exception as error:  # Ray raises no class of its own
            if "timed out during startup" not in str(error):
                raise
            raise RunError(
                "Ray did not start within half a minute: this machine is too busy, or has too little memory; "
                "run the same command again when other work has ended"
            ) from None


def _start(ray: Any, quiet: Mapping[str, Any]) -> None:
    """Start a cluster on this machine for this process."""
    folder = short_folder()
    ray.init(
        "local",  # never somebody else's cluster on this machine
        num_cpus=cores(),
        object_store_memory=OBJECT_STORE,
        _system_config=IDLE,
        include_dashboard=False,
        _temp_dir=str(folder) if folder else None,
        _node_ip_address="127.0.0.2",  # loopback; Ray replaces 127.0.0.1 by the machine's public address
        **quiet,
    )


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, for which Ray puts one that exits."""
    before, terminated = signal.getsignal(signal.SIGTERM), False
    try:
        yield
    except SystemExit:
        terminated = True
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
    if terminated:
        signal.raise_signal(signal.SIGTERM)


def raise_if_interrupted(step: int, metrics: dict[str, float], checkpoint: str | None) -> None:
    """Report callback of a training in this process: raise RunError if it is to end."""
    if interrupted.is_set():
        raise RunError("interrupted")


def unless_interrupted(wait: Callable[[], T]) -> T:
    """Return what `wait()` returns, in a thread of its own that this one does not wait for once it is to end.

    A shutdown of Ray ends `ray.get` with an error, but for ever blocks some that wait for an actor to start.

    Raises:
        RunError: the run is to end, and `wait()` did not end in time.
    """
    outcome = futures.Future[T]()

    def run() -> None:
        try:
            outcome.set_result(wait())
        except BaseException as error:
            outcome.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=lambda: context.run(run), daemon=True).start()
    while not futures.wait([outcome], POLL).done:
        if interrupted.is_set() and not futures.wait([outcome], PATIENCE).done:
            raise RunError("interrupted")
    return outcome.result()


def disconnect() -> None:
    """Leave the cluster. One that `connect` started ends with all its jobs and processes."""
    with _lock:
        if "ray" in sys.modules:
            import ray

            workers = [] if os.environ.get("RAY_ADDRESS") else _workers()
            ray.shutdown()
            _end(workers)


def _workers() -> list[psutil.Process]:
    """Return the workers of this process's own cluster: what its raylet, a child of it, has started.

    The raylet of a cluster that was joined belongs to another process, such as `ray start`.
    """
    workers = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            command = process.cmdline()
            if command and Path(command[0]).name == RAYLET:
                workers += process.children(recursive=True)
    return workers


def _end(workers: Sequence[psutil.Process]) -> None:
    """Wait until workers have ended; kill those that hang at their exit, as some of Ray's do."""
    _, hanging = psutil.wait_procs(workers, timeout=PATIENCE)
    for process in hanging:
        with suppress(psutil.Error):
            process.kill()


def call(job: Job, *arguments: Any, cpus: float = 1, gpus: float = 0) -> Any:
    """Run a function as a Ray task and return its result; see `each`."""
    return each(job, [arguments], cpus=cpus, gpus=gpus)[0]


def each(job: Job, arguments: Iterable[tuple[Any, ...]], *, cpus: float = 1, gpus: float = 0) -> list[Any]:
    """Run a function once per tuple of arguments, as concurrent Ray tasks; return the results in order.

    Args:
        job: a function, or "components.module:function" so that this process need not import the module.
        arguments: plain values.
        cpus: per task.
        gpus: per task.

    Raises:
        InputError: raised by a job.
        RunError: raised by a job, or Ray lost a job.
    """
    connect()
    import ray

    task = _task(ray, cpus, gpus)
    with _plain_errors(ray):
        return list(_results(ray, [task.remote(job, *a) for a in arguments]))


def stream(job: Callable[[A], T], arguments: Iterable[A]) -> Iterator[T]:
    """Yield the results of a function for each argument in order, as Ray tasks with a CPU each.

    Twice as many tasks as the cluster has CPUs are under way, so neither arguments nor results pile up.

    Raises:
        InputError: raised by a job.
        RunError: raised by a job, Ray lost a job, or the run is to end.
    """
    connect()
    import ray

    def result(reference: Any) -> T:
        return unless_interrupted(lambda: ray.get(reference))

    task, pending = _task(ray, 1, 0), deque[Any]()
    most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    with _plain_errors(ray):
        for argument in arguments:
            pending.append(task.remote(job, argument))
            if len(pending) == most:
                yield result(pending.popleft())
        yield from map(result, pending)


def _task(ray: Any, cpus: float, gpus: float) -> Any:
    """Return `_run` as a Ray task; jobs can be run again, as they depend on their arguments only."""
    environment = {"env_vars": {"OMP_NUM_THREADS": str(max(1, int(cpus)))}}
    options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 2, "runtime_env": environment}
    return ray.remote(_run).options(**options)


@contextmanager
def _plain_errors(ray: Any) -> Iterator[None]:
    """Raise the errors of jobs instead of Ray's."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise cause_of(error) from None
    except ray.exceptions.RayError as error:
        raise RunError(f"Ray lost a job ({type(error).__name__}); run the same command to resume") from error


def _results(ray: Any, jobs: list[Any]) -> Iterator[Any]:
    """Yield the results of jobs in order; report how many are done, if there are several."""
    if len(jobs) == 1:
        yield unless_interrupted(lambda: ray.get(jobs[0]))
        return
    for job in progress.reported(jobs, "compute"):
        if interrupted.is_set():  # after `stop`, this would start another cluster
            raise RunError("interrupted")
        yield unless_interrupted(partial(ray.get, job))


def _run(job: Job, *arguments: Any) -> Any:
    """Run the job in the worker, then return free memory, since the worker may stay idle.

    Its errors are raised without credentials and private folders, since Ray logs them.
    """
    try:
        with public_errors():
            function = job if callable(job) else _imported(job)
            set_imports_aside()
            return function(*arguments)
    finally:
        give_back()


def _imported(job: str) -> Callable[..., Any]:
    """Return the function of "module:function"."""
    module, _, name = job.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def check_resources(workers: int, threads: int, gpu: bool) -> None:
    """Raise InputError if the cluster is too small for a training, which would wait forever."""
    import ray

    from components.cluster.ray_private import most_resources

    available = {**ray.cluster_resources(), **most_resources()}
    required = {"CPU": workers * threads} | ({"GPU": workers} if gpu else {})
    more = "add nodes to it" if os.environ.get("RAY_ADDRESS") else "run on a larger one (docs/cluster.md)"
    for resource, count in required.items():
        if available.get(resource, 0) < count:
            raise InputError(
                f"{workers} workers with {threads} threads each need {count} {resource}s; the cluster "
                f"has {available.get(resource, 0):g}; lower train.workers or train.torch_threads, or {more}"
            )


def cause_of(error: BaseException) -> Exception:
    """Return the cause that Ray's exception wraps: an InputError or RunError, else a RunError about it."""
    inner: BaseException = error
    for _ in range(8):
        failures = getattr(inner, "worker_failures", None)
        cause = (next(iter(failures.values())) if failures else None) or getattr(inner, "cause", None)
        if not isinstance(cause, BaseException) or cause is inner:
            break
        inner = cause
    if isinstance(inner, InputError | RunError):
        return inner
    last_line = (str(inner).strip().splitlines() or [""])[-1]
    return RunError(
        f"{type(inner).__name__}: {last_line[:300]}; run the same command to resume from the last checkpoint"
    )
