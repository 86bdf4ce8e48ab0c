"""What the data path feeds against what the fastest family consumes, side by side on one thread.

    python benchmarks/data_path.py [--rounds 5]

Prints images per second of Batches.at (gather from the memory map, uint8 to float) and of a training step of
every family at the quick start's settings, and the smallest ratio. Wanted: at least 20 times.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from components.common.paths import home
from components.data import local
from components.data.batches import Batches
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.families.catalogue import build
from components.training.trainer import Trainer
from flows import setup


def per_second(do, batch: int, seconds: float = 1.0) -> float:
    """Images per second of `do(step)`, called for about `seconds`."""
    do(0)
    began, step = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        step += 1
        do(step)
    return step * batch / spent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    experiment = setup.experiment(home() / "configs" / "quickstart.yaml", [])
    folder, _ = local.data_version(home(), experiment.data.name, None)
    card, split = DatasetCard.read(folder).card, open_split(folder, "train")
    runs = {}
    for family, block in experiment.families.items():
        settings = experiment.training(family)
        own = {name: value for name, value in block.items() if name != "train"}
        trainer = Trainer(
            build(family, own, card), settings.model_copy(update={"steps": 10**6, "schedule": "constant"})
        )
        runs[family] = (trainer, Batches(split, settings.batch, 0))
    rates: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for family, (trainer, data) in runs.items():
            batch = trainer.settings.batch
            rates.setdefault(f"{family} data", []).append(per_second(data.at, batch))
            rates.setdefault(f"{family} step", []).append(
                per_second(lambda _, t=trainer, d=data: t.step(d), batch)
            )
    ratios = {}
    for family in runs:
        fed, used = (statistics.median(rates[f"{family} {what}"]) for what in ("data", "step"))
        ratios[family] = fed / used
        print(f"{family:<12} data {fed:10,.0f}/s   training {used:8,.0f}/s   ratio {fed / used:6.1f}")
    print(f"smallest ratio: {min(ratios.values()):.1f}")


if __name__ == "__main__":
    main()
