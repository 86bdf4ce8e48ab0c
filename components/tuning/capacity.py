"""How many trials run at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

from components.common.errors import InputError
from components.config.sweep import Sweep
from components.tuning.trial import Terms

# What a trial takes whose workers are Ray Train's: a megabyte, since Ray refuses nothing at all, and of the
# cores even a hundredth would leave the workers one too few.
LEAST = {"CPU": 0.0, "memory": 2.0**20}


def concurrency(terms: Terms, settings: Sweep) -> tuple[int, str]:
    """How many trials run side by side, and why."""
    import ray

    have, threads = ray.cluster_resources(), terms.threads * terms.workers
    gpus = terms.workers * gpus_of(terms, settings)
    room = sum(_fit(node, terms, settings) for node in _nodes()) // terms.workers
    because = f"{have.get('CPU', 0):g} cores, {threads} a trial"
    if gpus:
        because += f"; {have.get('GPU', 0):g} GPUs, {gpus:g} a trial"
    if room < 1:
        raise InputError(
            f"a trial needs {threads} cores"
            + (f" and {gpus:g} GPUs" if gpus else "")
            + f", and the cluster has {have.get('CPU', 0):g}"
            + (f" and {have.get('GPU', 0):g}" if gpus else "")
            + (f" on {len(_nodes())} machines" if len(_nodes()) > 1 else "")
            + "; lower train.threads or sweep.workers"
        )
    if settings.side_by_side is not None and settings.side_by_side < room:
        return settings.side_by_side, f"sweep.side_by_side; there would be room for {room}"
    return room, because


def _nodes() -> list[dict[str, float]]:
    """What each machine of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fit(node: Mapping[str, float], terms: Terms, settings: Sweep) -> int:
    """How many processes of trials a machine has room for."""
    cores = int(node.get("CPU", 0) // terms.threads)
    if terms.device != "cuda":
        return cores
    return min(cores, int(node.get("GPU", 0)) * int(1 / gpus_of(terms, settings) + 1e-6))


def gpus_of(terms: Terms, settings: Sweep) -> float:
    """Of a GPU, what a process of a trial takes: with others beside it, a share."""
    if terms.device != "cuda":
        return 0.0
    return settings.gpus if terms.workers == 1 else 1.0


def room(terms: Terms, settings: Sweep, side_by_side: int) -> dict[str, float]:
    """What a trial's own process takes; workers of a Ray Train run bring their own.

    Of a population all are there at once, most of them waiting: so what they take is what limits how many
    run.
    """
    if terms.workers > 1:
        return LEAST
    cpus = float(terms.threads)
    if settings.scheduler == "pbt" and settings.side_by_side is not None:
        have = [node.get("CPU", 0.0) for node in _nodes()]
        share = math.floor(1e4 * sum(have) / side_by_side) / 1e4  # as finely as Ray counts
        cpus = max(cpus, min(share, max(have)))
    return {"CPU": cpus} | ({"GPU": gpus_of(terms, settings)} if terms.device == "cuda" else {})
