"""The checks of `atelier doctor`. Each tries what the project needs and advises what to do if it fails."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from components.cluster.resources import cores, device, fast_bfloat16, unusable_gpu
from components.common import atomic
from components.common.progress import reported
from components.common.public import public_url, without_secrets
from components.data.versioning import pins
from components.store import Store, cache_folder, mirrors, open_store
from components.store.lease import lease

GB = 1 << 30
TRIAL_SECONDS = 300.0  # of a trial; the server takes 14 on two busy cores, and minutes on crowded ones
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@dataclass(frozen=True)
class Check:
    """The result of a check."""

    name: str
    ok: bool | None  # None: a warning
    detail: str
    advice: str = ""  # one sentence; empty if there is nothing to do


def examine(home: Path, store_url: str, server_trial: str) -> list[Check]:
    """Run all checks, in about 20 seconds; those of Prefect and Ray do what a run does, in its environment.

    Args:
        home: the project.
        store_url: the store.
        server_trial: a module that starts Prefect's server as a run does, or writes what is wrong and fails.
    """
    with ThreadPoolExecutor(2) as pool:  # both mostly wait
        server = pool.submit(_guarded, "Prefect server", lambda: [_prefect(server_trial)])
        ray = pool.submit(_guarded, "Ray", _ray)
        parts: list[Callable[[], list[Check]]] = [
            lambda: _guarded("machine", lambda: _machine(home, store_url)),
            lambda: _guarded("PyTorch", _torch),
            ray.result,
            server.result,
            lambda: _guarded("DVC", lambda: _dvc(home)),
            lambda: _guarded("store", lambda: _store(home, store_url)),
            lambda: _guarded("disk space", lambda: _space(home, store_url)),
            lambda: _guarded("extras", _extras),
        ]
        checks = [check for part in reported(parts, "check") for check in part()]
    return [replace(check, detail=without_secrets(check.detail)) for check in checks]


def _guarded(name: str, run: Callable[[], list[Check]]) -> list[Check]:
    """Return the checks of `run`; an exception becomes a failed check."""
    try:
        return run()
    except Exception as error:
        sentence = (str(error).strip() or type(error).__name__).splitlines()[0]
        return [
            Check(name, False, f"{type(error).__name__}: {sentence}", f"Repair {name} and run this again.")
        ]


# The machine


def _machine(home: Path, store_url: str) -> list[Check]:
    version = platform.python_version()
    fine = sys.version_info >= (3, 11)
    python = Check("Python", fine, version, "" if fine else "Make an environment with Python 3.11 or newer.")
    store = open_store(store_url, home)
    folders = {"project": home} | ({"store": Path(store.path())} if store.is_local else {})
    return [python, _processors(), _memory(), *(_disk(name, folder) for name, folder in folders.items())]


def _processors() -> Check:
    count = cores()
    advice = "" if count >= 2 else "Use train.workers=0, or a machine with two cores or more."
    return Check("processors", True if count >= 2 else None, f"{count}", advice)


def _memory() -> Check:
    free = free_memory()
    advice = "" if free >= 4 * GB else "Close other programs, or train smaller batches with fewer workers."
    return Check("memory", True if free >= 4 * GB else None, f"{free / GB:.1f} GB free", advice)


def free_memory() -> int:
    """Return the bytes that this process may still use, within the limit of its container."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # "max": no limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def _disk(name: str, folder: Path) -> Check:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    advice = "" if free >= 2 * GB else f"Free some space: a run needs about 2 GB where the {name} is."
    return Check(f"disk space of the {name}", free >= 2 * GB, f"{free / GB:.1f} GB free", advice)


# Libraries


def _torch() -> list[Check]:
    import torch

    checks = [Check("PyTorch", True, str(torch.__version__))]
    try:
        vision = importlib.import_module("torchvision")
        checks.append(Check("torchvision", True, str(vision.__version__)))
    except Exception as error:  # a build for another torch raises many kinds of errors
        advice = "Install the torchvision that fits this torch."
        checks.append(Check("torchvision", False, f"{type(error).__name__}: {error}".splitlines()[0], advice))
    return [*checks, _device()]


def _device() -> Check:
    """The device that a run takes, and why, if there is a GPU that it does not take."""
    import torch

    if reason := unusable_gpu():
        advice = "Install a PyTorch for this GPU and driver: see https://pytorch.org/get-started/locally."
        return Check("device", None, f"CPU: {reason}", advice)
    if device() == "cuda":
        fast, name = torch.cuda.is_bf16_supported(), f"CUDA: {torch.cuda.get_device_name(0)}"
    else:
        fast, name = fast_bfloat16(), "CPU"
    advice = "" if fast else "Leave train.precision at auto or float32: bfloat16 is slow here."
    return Check("device", True, f"{name}, {'with' if fast else 'without'} fast bfloat16", advice)


def _ray() -> list[Check]:
    version = importlib.metadata.version("ray")
    checks = [Check("Ray", True, version)]
    if ids := leftover_ray():
        detail = f"{len(ids)} raylet running: process {', '.join(map(str, ids))}"
        advice = "They may be another user's: end those that are yours and of no run in progress with `kill`."
        checks.append(Check("Ray processes", None, detail, advice))
    address = os.environ.get("RAY_ADDRESS")
    name, does = ("Ray cluster", f"a job ran at {address}") if address else ("Ray starts", "a job ran")
    advice = "See the logs in /tmp/ray/session_latest/logs; a common cause is too little memory or /dev/shm."
    return [*checks, _trial(name, ["-c", RAY_TRIAL], does, advice)]


def leftover_ray() -> list[int]:
    """Return the process ids of the raylets on this machine, of current runs and of killed ones."""
    commands = {process.pid: process.info["cmdline"] for process in psutil.process_iter(["cmdline"])}
    return sorted(pid for pid, command in commands.items() if command and command[0].endswith("/raylet"))


RAY_TRIAL = """
import sys
from components.cluster import ray_cluster
from components.common.errors import InputError, RunError
try:
    ray_cluster.call("components.common.chunks:ranges", 5, 3)
except (InputError, RunError) as error:
    sys.exit(str(error))
finally:
    ray_cluster.disconnect()
"""


def _prefect(server_trial: str) -> Check:
    version, url = importlib.metadata.version("prefect"), os.environ.get("PREFECT_API_URL")
    does = f"{version}, {public_url(url)} answers" if url else f"{version}, starts"
    advice = "Install the locked versions again: for example, a newer fastapi breaks the server."
    return _trial("Prefect server", ["-m", server_trial], does, advice)


def _trial(name: str, arguments: Sequence[str], does: str, advice: str) -> Check:
    """Run a Python program that does what a run does; its last line says what is wrong, and what to do."""
    start = time.monotonic()
    with _process([sys.executable, *arguments], {**os.environ, **QUIET}) as (process, log):
        with suppress(subprocess.TimeoutExpired):
            process.wait(TRIAL_SECONDS)
        if process.poll() == 0:
            return Check(name, True, f"{does} in {time.monotonic() - start:.0f} s")
        wrong, _, own_advice = _last_line(log).partition("; ")
        return Check(name, False, wrong, own_advice or advice)


@contextmanager
def _process(
    command: Sequence[str], environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a program in a new process group; yield it with its log, and end it with its children."""
    with tempfile.TemporaryDirectory(prefix="doctor-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield process, log
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:600] if lines else f"no answer within {TRIAL_SECONDS:g} s"


# Data


def _dvc(home: Path) -> list[Check]:
    checks = [Check("DVC", True, importlib.metadata.version("dvc"))]
    if not (home / ".dvc").is_dir():
        advice = "Run `dvc init` in the project."
        return [*checks, Check("DVC repository", False, "there is no .dvc folder", advice)]
    dvc_config = pins.config(home)
    analytics = dvc_config.get("core", "analytics", fallback="true").lower() != "false"
    if analytics and not os.environ.get("DVC_NO_ANALYTICS"):
        checks.append(Check("DVC analytics", None, "on", "Run `dvc config core.analytics false`."))
    return [*checks, _dvc_remote(home, dvc_config)]


def _dvc_remote(home: Path, config: configparser.ConfigParser) -> Check:
    name = config.get("core", "remote", fallback="")
    section = f"'remote \"{name}\"'"
    if not name or not config.has_option(section, "url"):
        advice = "Run `atelier data remote URL`; otherwise data exists on this machine only."
        return Check("DVC remote", None, "none is set", advice)
    url = config.get(section, "url")
    names = {"endpointurl": "endpoint_url", "access_key_id": "key", "secret_access_key": "secret"}
    options = {ours: config[section][dvcs] for dvcs, ours in names.items() if dvcs in config[section]}
    if public_url(url) != url:
        return Check("DVC remote", None, f"{name}: {public_url(url)}, not tried: its URL holds credentials")
    remote = Store(url if "://" in url else os.path.join(home, ".dvc", url), options)
    if remote.is_local and not Path(remote.path()).is_dir():
        advice = "`atelier data push` creates it."
        return Check("DVC remote", None, f"{name}: {remote.url} does not exist yet", advice)
    try:
        remote.check()
    except Exception as error:
        return Check("DVC remote", False, f"{name}: {error}", "Correct the remote or its credentials.")
    if config.get(section, "verify", fallback="false").lower() != "true":
        advice = f"Run `dvc remote modify {name} verify true`; otherwise damaged files go unnoticed."
        return Check("DVC remote", None, f"{name}: {remote.url}, not verified", advice)
    return Check("DVC remote", True, f"{name}: {remote.url}")


# The store


def _space(home: Path, store_url: str) -> list[Check]:
    """Count what killed processes have left in the store, and the mirrors of remote stores."""
    store, cache = open_store(store_url, home), cache_folder()
    used, limit = mirrors.size(cache), mirrors.limit()
    checks = [
        Check("cache", True, f"{used / mirrors.GB:.1f} of at most {limit / mirrors.GB:g} GB in {cache}")
    ]
    if store.is_local:
        left = atomic.unfinished(Path(store.path()), older=3600.0)
        taken = sum(mirrors.size(path) if path.is_dir() else path.stat().st_size for path in left)
        advice = f"While no run is active, delete those named {atomic.HIDDEN}* below {store.url}."
        detail = f"{len(left)} older than an hour, {taken / GB:.1f} GB"
        checks.append(Check("unfinished files", None if left else True, detail, advice if left else ""))
    return checks


def _store(home: Path, store_url: str) -> list[Check]:
    store = open_store(store_url, home)
    new = store.is_local and not Path(store.path()).exists()
    probe = store.child(f"doctor-{uuid.uuid4().hex[:8]}")
    try:
        store.check()
        checks = [_reads_and_writes(store, probe), _creates(probe), _leases(probe)]
    except Exception as error:  # the store's errors are sentences
        checks = [Check("store", False, str(error), "Correct store.url or the environment it needs.")]
    with suppress(Exception):
        store.delete(probe.url.rpartition("/")[2])
    if new:
        with suppress(OSError):  # not empty
            Path(store.path()).rmdir()
    return checks


def _reads_and_writes(store: Store, probe: Store) -> Check:
    start, data, rel = time.monotonic(), os.urandom(64), "folder/file"
    probe.write_bytes(rel, data)
    results = {"read": probe.read_bytes(rel) == data, "list": probe.find() == [rel]}
    probe.write_bytes(rel, b"2")
    results["overwrite"] = probe.read_bytes(rel) == b"2"
    probe.delete(rel)
    results["delete"] = probe.find() == []
    if failed := [operation for operation, works in results.items() if not works]:
        return Check("store", False, f"{store.url}: {', '.join(failed)} failed", "Choose another store.")
    return Check("store", True, f"{store.url}: write, read, list, delete in {time.monotonic() - start:.1f} s")


def _creates(probe: Store) -> Check:
    first, second = probe.create("once", b"1"), probe.create("once", b"2")
    works = first and not second and probe.read_bytes("once") == b"1"
    advice = "Do not schedule runs on this store: two concurrent runs could both win."
    if works and probe.atomic_create:
        return Check("exclusive creation", True, "the second of two attempts failed")
    if works:
        return Check("exclusive creation", None, "not atomic: checks, then writes", advice)
    return Check("exclusive creation", False, "the second of two attempts succeeded too", advice)


def _leases(probe: Store) -> Check:
    numbers = []
    for _ in range(2):
        with lease(probe, "doctor", poll=0.1, expires=2.0) as acquired:
            acquired.check()
            numbers.append(acquired.number)
    works = numbers == [1, 2]
    advice = "" if works else "Choose another store: runs could overwrite each other here."
    return Check("leases", works, "acquired and released twice" if works else f"numbers {numbers}", advice)


# Optional


def _extras() -> list[Check]:
    inception = Path(os.environ.get("ATELIER_INCEPTION", "")).is_file()
    weed, browser = _which("weed"), _which("chromium", "chromium-browser", "google-chrome")
    return [
        _extra("Inception weights", inception, "Set evaluate.inception_path to report FID itself."),
        _extra("SeaweedFS", bool(weed), "Run `make setup-dev` to run the tests of object stores."),
        _extra("Chromium", bool(browser), "Only some tests use it."),
    ]


def _extra(name: str, exists: bool, advice: str) -> Check:
    return Check(name, True, "installed") if exists else Check(name, None, "missing, optional", advice)


def _which(*names: str) -> str | None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)
