"""Compute how many trials run at once."""

from __future__ import annotations

import math

from components.cluster import resources
from components.common.errors import InputError
from components.config.sweep import Sweep
from components.tuning.trial_context import TrialContext

# Resources of a trial whose workers are Ray Train's. Ray does not accept an empty request, hence a megabyte;
# any share of a core would leave one core too few for the workers.
LEAST = {"CPU": 0.0, "memory": 2.0**20}


def concurrency(context: TrialContext, settings: Sweep) -> tuple[int, str]:
    """Return how many trials run in parallel, and why.

    Raises:
        InputError: the cluster has no room for a trial.
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
        return settings.max_concurrent_trials, f"sweep.max_concurrent_trials; the cluster has room for {room}"
    because = f"{cores:g} cores, {threads} per trial"
    return room, because + (f"; {gpus:g} GPUs, {needed:g} per trial" if share else "")


def trials_that_fit(machines: list[dict[str, float]], context: TrialContext, settings: Sweep) -> int:
    """Return how many trials fit on machines with these resources."""
    share = gpu_share(context, settings)
    processes = sum(
        resources.room(m.get("CPU", 0.0), m.get("GPU", 0.0), threads=context.threads, gpu_share=share)
        for m in machines
    )
    return processes // context.workers


def _machines() -> list[dict[str, float]]:
    """Return the resources of each machine of the cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def gpu_share(context: TrialContext, settings: Sweep) -> float:
    """Return the share of a GPU that a process of a trial takes."""
    if context.device != "cuda":
        return 0.0
    return settings.gpus if context.workers == 1 else 1.0


def requirements(context: TrialContext, settings: Sweep, side_by_side: int) -> dict[str, float]:
    """Return the resources of a trial's own process; workers of a Ray Train run have their own.

    All trials of a population exist at once, and most of them wait: so their resources limit how many run.
    """
    if context.workers > 1:
        return LEAST
    cpus = float(context.threads)
    if settings.scheduler == "pbt" and settings.max_concurrent_trials is not None:
        cores = [machine.get("CPU", 0.0) for machine in _machines()]
        share = math.floor(1e4 * sum(cores) / side_by_side) / 1e4  # as finely as Ray counts
        cpus = max(cpus, min(share, max(cores)))
    return {"CPU": cpus} | ({"GPU": gpu_share(context, settings)} if context.device == "cuda" else {})
