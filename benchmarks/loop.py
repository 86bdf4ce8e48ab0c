"""The loop inside Ray Train against the same loop called directly: images per second, side by side.

    python benchmarks/loop.py [--family dcgan] [--steps 600] [--rounds 3]

Each round trains the quick start's family once in this process and once as a Ray Train worker, in turn; the
rate of each is taken from its own metrics between the first and the last logged step, so that start-up is
left out of both. Prints medians and the ratio. Wanted: at least 95 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile

from components.cluster import ray_cluster
from components.common.paths import home
from components.data import local
from components.pipeline import prepare
from components.store import Store
from components.training import ray_train, request
from flows import setup


def rate(attempt: Store) -> float:
    """Images per second between the first and the last line of metrics."""
    lines = [
        line for part in attempt.list("metrics") for line in attempt.read_text(f"metrics/{part}").splitlines()
    ]
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    return (last["images"] - first["images"]) / (last["seconds"] - first["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", default="dcgan")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    experiment = setup.experiment(home() / "configs" / "quickstart.yaml", [], [options.family])
    block = dict(experiment.families[options.family])
    settings = block.pop("train") | {"steps": options.steps, "checkpoint_every": max(100, options.steps // 4)}
    settings["snapshot_samples"] = 0  # an evaluation needs an extractor, and is not what is compared
    snapshot, _ = local.data_version(home(), experiment.data.name, None)
    rates: dict[str, list[float]] = {"direct": [], "Ray Train": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        prepare.store_data(snapshot, store.child("prepared"))
        for number in range(options.rounds):
            for name, workers in (("direct", 0), ("Ray Train", 1)):
                attempt = f"{name.replace(' ', '')}-{number}"
                job = request.TrainRequest(
                    options.family,
                    block,
                    settings | {"workers": workers},
                    data="prepared/data",
                    attempt=attempt,
                    store=store,
                )
                ray_train.fit(job, attempt)
                rates[name].append(rate(store.child(attempt)))
                print(f"round {number + 1}  {name:<10} {rates[name][-1]:8.0f} images/s", flush=True)
        ray_cluster.disconnect()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["Ray Train"] / medians["direct"]
    print(f"medians: {medians['direct']:.0f} and {medians['Ray Train']:.0f}: {100 * ratio:.1f} %")


if __name__ == "__main__":
    main()
