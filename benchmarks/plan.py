"""Compare what `--plan` expects of a second run with what it takes.

    python benchmarks/plan.py [--only CONFIG] [--store FOLDER]

Each config first runs with few steps. Then `--plan` is asked about the same config with more steps, and that
runs. The data must be prepared before (`atelier data prepare NAME`), and the machine quiet.
Prints the minutes that were expected and taken, and their ratio; one third is asked of it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# config: steps of its families in the first run and in the second
CASES: dict[str, dict[str, tuple[int, int]]] = {
    "quickstart": {"dcgan": (200, 700), "autoencoder": (300, 1500)},
    "cpu/autoencoder": {"autoencoder": (400, 2000)},
    "cpu/vae": {"vae": (500, 2000)},
    "cpu/anomaly": {"autoencoder": (300, 1200)},
    "cpu/denoising": {"autoencoder": (300, 1500)},
    "cpu/diffusion": {"diffusion": (100, 300)},
    "cpu/gans": {"dcgan": (200, 600), "r3gan": (100, 300)},
    "cpu/from-images": {"super_resolution": (60, 200)},
    "cpu/vae-emoji": {"vae": (200, 700)},
    "cpu/emoji": {"r3gan": (60, 200)},
    "cpu/pix2pix": {"pix2pix": (60, 200)},
}


def atelier(config: str, steps: dict[str, int], store: str, *arguments: str) -> str:
    """Run a config with these steps and return what the command printed."""
    only = [word for family in steps for word in ("--only", family)]
    changes = {f"families.{family}.train.steps": str(count) for family, count in steps.items()}
    changes |= {"store.url": store}
    sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    command = [".venv/bin/atelier", "run", f"configs/{config}.yaml", *only, *sets, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout + done.stderr


def expected_seconds(text: str) -> float:
    """Return the seconds that a plan expects until the end."""
    match = re.search(r"([\d.]+) minutes from start to end", text)
    if match is None:
        raise SystemExit(f"no estimate in:\n{text}")
    return 60 * float(match[1])


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=CASES)
    parser.add_argument("--store", help="default: a new folder")
    options = parser.parse_args()
    store = options.store or tempfile.mkdtemp()
    ratios = []
    print("| config | families | expected | taken | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for config in options.only or CASES:
        first, second = ({f: steps[i] for f, steps in CASES[config].items()} for i in (0, 1))
        url = f"{store}/{config.replace('/', '-')}"  # of its own, so that nothing else is known
        atelier(config, first, url)
        expected = expected_seconds(atelier(config, second, url, "--plan"))
        began = time.monotonic()
        atelier(config, second, url)
        taken = time.monotonic() - began
        ratios.append(expected / taken)
        families = ", ".join(second)
        print(f"| {config} | {families} | {expected:.0f} s | {taken:.0f} s | {ratios[-1]:.2f} |", flush=True)
    within = sum(2 / 3 <= ratio <= 4 / 3 for ratio in ratios)
    print(f"median ratio {statistics.median(ratios):.2f}; {within} of {len(ratios)} within a third")
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
