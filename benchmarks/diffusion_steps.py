"""The studies of a finished run as tables: quality against the number of steps, and against guidance.

    atelier run configs/cpu/diffusion.yaml --set evaluate.study_samples=1000
    python benchmarks/diffusion_steps.py [RUN] [--store output] [--write [docs/diffusion.md]]

RUN is an id, `last` by default. Every line has the same weights, seeds and classes; distances stand beside
what as many real training images score.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_proof import put, table

from components.errors import InputError
from components.paths import home
from components.storage import Store, open_store
from flows.cli import find_run

MEASURES = {"frechet_distance": "Fréchet distance", "kid": "KID", "label_accuracy": "judged right"}
MEASURES |= {"retrieval_top5": "caption in top 5"}


def studies(store: Store, run_id: str) -> tuple[int, list[dict[str, Any]]]:
    """The number of samples a line, and the studies of the run's first family that has them."""
    record = find_run(store, run_id)
    for stage in record["stages"]:
        if stage["name"] == "study" and stage["state"] in ("ran", "cached"):
            uri = f"{stage['uri']}/attempts/{stage['attempt']}"
            told = store.read_json(f"{uri}/result.json")["studied"]
            return told["n"], told["studies"]
    raise InputError(f"run {record['run_id']} has no study; is evaluate.study_samples above 0?")


def lines(study: Mapping[str, Any]) -> str:
    """A study's table."""
    variants: Sequence[Mapping[str, Any]] = study["variants"]
    known = [name for name in MEASURES if name in variants[0]["metrics"]]
    rows = []
    for variant in variants:
        metrics = variant["metrics"]
        shares = ("label_accuracy", "retrieval_top5")
        values = [
            f"{100 * metrics[name]['value']:.1f} %" if name in shares else f"{metrics[name]['value']:.3g}"
            for name in known
        ]
        rows.append([variant["name"], *values, f"{1000 * variant['seconds_per_image']:.1f}"])
    floor = variants[0]["metrics"]["frechet_distance"]["floor"]
    header = [study["name"], *(MEASURES[name] for name in known), "ms an image, one thread"]
    return f"{table(header, rows)}\n\nFloor of the Fréchet distance: {floor:.3g}."


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", default="last")
    parser.add_argument("--store", default="output")
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "diffusion.md")
    args = parser.parse_args()
    try:
        n, found = studies(open_store(args.store, home()), args.run)
        for study in found:
            text = f"{lines(study)} {n} samples a line."
            print(f"{study['title']}\n\n{text}\n")
            if args.write:
                put(args.write, study["name"], text)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
