"""How many trials run at once."""

from __future__ import annotations

import math

from components.cluster import resources
from components.common.errors import InputError
from components.config.sweep import Sweep
from components.tuning.trial import TrialContext

# What a trial takes whose workers are Ray Train's: a megabyte, since Ray refuses nothing at all, and of the
# cores even a hundredth would leave the workers one too few.
LEAST = {"CPU": 0.0, "memory": 2.0**20}


def concurrency(context: TrialContext, settings: Sweep) -> tuple[int, str]:
    """How many trials run side by side, and why.

    Raises:
        InputError: the cluster has no room for one.
    """
    machines, threads = _machines(), context.threads * context.workers
    share = gpu_share(context, settings)
    room = trials_that_fit(machines, context, settings)
    cores, gpus = (sum(machine.get(kind, 0.0) for machine in machines) for kind in ("CPU", "GPU"))
    needed = context.workers * share
    if room < 1:
        raise InputError(
            f"a trial needs {threads} cores"
            + (f" and {needed:g} GPUs" if share else "")
            + f", and the cluster has {cores:g}"
            + (f" and {gpus:g}" if share else "")
            + (f" on {len(machines)} machines" if len(machines) > 1 else "")
            + "; lower train.torch_threads or sweep.workers"
        )
    if settings.max_concurrent_trials is not None and settings.max_concurrent_trials < room:
        return settings.max_concurrent_trials, f"sweep.max_concurrent_trials; there would be room for {room}"
    because = f"{cores:g} cores, {threads} a trial"
    return room, because + (f"; {gpus:g} GPUs, {needed:g} a trial" if share else "")


def trials_that_fit(machines: list[dict[str, float]], context: TrialContext, settings: Sweep) -> int:
    """How many trials machines with such resources have room for."""
    share = gpu_share(context, settings)
    processes = sum(
        resources.room(m.get("CPU", 0.0), m.get("GPU", 0.0), threads=context.threads, gpu_share=share)
        for m in machines
    )
    return processes // context.workers


def _machines() -> list[dict[str, float]]:
    """The resources of each machine of the cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def gpu_share(context: TrialContext, settings: Sweep) -> float:
    """The share of a GPU that a process of a trial takes."""
    if context.device != "cuda":
        return 0.0
    return settings.gpus if context.workers == 1 else 1.0


def requirements(context: TrialContext, settings: Sweep, side_by_side: int) -> dict[str, float]:
    """The resources of a trial's own process; workers of a Ray Train run bring their own.

    The trials of a population all exist at once, most of them waiting: so what they take is what limits how
    many run.
    """
    if context.workers > 1:
        return LEAST
    cpus = float(context.threads)
    if settings.scheduler == "pbt" and settings.max_concurrent_trials is not None:
        cores = [machine.get("CPU", 0.0) for machine in _machines()]
        share = math.floor(1e4 * sum(cores) / side_by_side) / 1e4  # as finely as Ray counts
        cpus = max(cpus, min(share, max(cores)))
    return {"CPU": cpus} | ({"GPU": gpu_share(context, settings)} if context.device == "cuda" else {})
