"""Print what a run would take at its full scale, without its hardware."""

from __future__ import annotations

import json
from collections.abc import Mapping

from components.common.errors import InputError
from components.common.paths import home
from components.config.experiment import Experiment
from components.store import open_store
from components.training import scale
from flows.cli.shared import print_rows
from flows.setup import plan_of

TFLOPS = 100.0  # 10^12 operations a second that a GPU sustains: a third of an H100's peak in bfloat16


def show(experiment: Experiment, tflops: float, price: float | None, *, as_json: bool = False) -> None:
    """Print a row for each family: the arithmetic of its batch, memory, hours and cost.

    Raises:
        InputError: the data is not prepared, or a number is not positive.
    """
    rows = scale_rows(experiment, tflops, price)
    if as_json:
        print(json.dumps(rows))
        return
    print_rows([row for row in rows if "error" not in row])
    for row in rows:
        if "error" in row:
            print(row["error"])
    print(
        f"assumes {tflops:g} x 10^12 operations a second of each worker (--tflops); memory is that of one "
        "worker, without fragments and what convolutions need in passing; evaluation is not counted"
    )


def scale_rows(experiment: Experiment, tflops: float, price: float | None) -> list[Mapping[str, object]]:
    """Return the rows that `show` prints; a family that needs values has a reason instead of numbers."""
    if not tflops > 0:
        raise InputError(f"--tflops {tflops:g}: give a number above 0")
    if price is not None and not price >= 0:
        raise InputError(f"--price {price:g}: give a number that is not below 0")
    plan = plan_of(experiment, open_store(experiment.store.url, home()))
    if plan is None:
        name = experiment.data.name
        raise InputError(f"--scale needs the shape of the data: run `atelier data prepare {name}` first")
    rows: list[Mapping[str, object]] = []
    blocks = {family: plan.family_settings(family) for family in experiment.families}
    images = plan.card.counts["train"]
    for family in experiment.families:
        settings = experiment.training(family)
        try:
            estimate = scale.estimate(family, blocks, plan.card_for(family), settings)
        except InputError as error:
            rows.append({"family": family, "error": str(error)})
            continue
        hours = estimate.hours(tflops)
        rows.append(
            {
                "family": family,
                "parameters": estimate.parameters,
                "workers": estimate.workers,
                "batch": f"{estimate.workers} x {estimate.shards} x {estimate.shard}",
                "epochs": round(estimate.images / images, 1),
                "state_gb": round(estimate.state / scale.GB, 3),
                "activations_gb": round(estimate.activations / scale.GB, 3),
                "memory_gb": round(estimate.memory / scale.GB, 3),
                "sent_gb_per_step": round(estimate.traffic / scale.GB, 4),
                "tflop_per_step": round(estimate.operations / 1e12, 4),
                "hours": round(hours, 3),
                "worker_hours": round(hours * estimate.workers, 2),
                "cost": None if price is None else round(hours * estimate.workers * price, 2),
            }
        )
    return rows
