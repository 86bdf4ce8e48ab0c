"""Sweeps as a user runs them: minutes, what a trial costs beside its work, and what the winner is worth.

    python benchmarks/sweeps.py [configs/sweeps/dcgan.yaml ...] [--store output] [--write [docs/sweeps.md]]

Runs `atelier sweep CONFIG` and puts its figures in a table. What is in the store already is not run again, so
that minutes are those of a first run only where nothing was: --store FOLDER makes sure. Overhead is the time
between two trials' ends on a core beyond training and judging: starting a process, reading data, building
networks, storing, deciding, and at the end waiting for the other core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from gan_proof import put, table

from components.common.errors import InputError
from components.common.paths import home

CONFIGS = ["dcgan", "sampler"]
HEADER = [
    "sweep",
    "trials",
    "search and finalists",
    "overhead per trial, mean (largest)",
    "winner",
    "confirmation against the config's own values",
]


def run(config: Path, store: str) -> dict[str, Any]:
    """What `atelier sweep` prints, started anew."""
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "sweep",
        str(config),
        "--set",
        f"store.url={store}",
        "--json",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=home(), check=False)
    if done.returncode:
        sys.exit(f"{config}: atelier sweep ended with code {done.returncode}")
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def line(config: Path, result: dict[str, Any]) -> list[str]:
    """A sweep in the table."""
    swept = result["sweep"]
    stages = {stage["name"]: stage for stage in result["stages"]}
    states = [trial["state"] for trial in swept["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    ran = stages["sweep"]["state"] == "ran"
    minutes = f"{stages['sweep']['seconds'] / 60:.1f} min" if ran else "cached"
    overhead = swept["overhead_seconds"]
    spent = f"{overhead['mean']:.1f} s ({overhead['max']:.1f} s)" if overhead else "-"
    values = ", ".join(f"{name} {shown(value)}" for name, value in swept["winner"]["values"].items())
    return [
        config.stem,
        f"{len(states)}: {counts}",
        minutes,
        spent,
        values,
        verdict(swept.get("confirmation")),
    ]


def verdict(confirmation: dict[str, Any] | None) -> str:
    """The winner against the config's own settings."""
    if confirmation is None:
        return "-"
    gain = confirmation["difference"]
    means = [sum(confirmation[side]) / len(confirmation[side]) for side in ("winner", "default")]
    spread = "" if gain["low"] is None else f" ({gain['low']:+.3g} to {gain['high']:+.3g})"
    cost = confirmation.get("seconds_per_image")
    paid = f"; {cost['winner'] / cost['default']:.2f} of the time" if cost else ""
    name = confirmation["metric"].replace("_", " ")
    values = f"{name} {means[0]:.3g} against {means[1]:.3g}: {gain['value']:+.3g}{spread}"
    return f"{values}, {confirmation['says']}{paid}"


def shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = [home() / "configs" / "sweeps" / f"{name}.yaml" for name in CONFIGS]
    parser.add_argument("configs", nargs="*", type=Path, default=default)
    parser.add_argument("--store", default="output")
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "sweeps.md")
    args = parser.parse_args()
    text = table(HEADER, [line(config, run(config, args.store)) for config in args.configs])
    print(text)
    try:
        if args.write:
            put(args.write, "sweeps", text)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
