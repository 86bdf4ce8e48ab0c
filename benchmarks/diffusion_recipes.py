"""Recipes of the literature on the same digits, for as many minutes each: process, target, network, sampler.

    python benchmarks/diffusion_recipes.py [--minutes 4] [--samples 1000] [--threads 2] [--only NAME ...]
        [--store output] [--write [docs/diffusion.md]]

All have the settings of training of configs/cpu/diffusion.yaml, whose learning rate, batch and average were
chosen for the first of them, and are judged as benchmarks/diffusion_digits.py judges. A recipe is a stage in
the store: a second call goes on with the first that is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from diffusion_digits import CONFIG, MAIN, Judges, asked, drawn, percent, settings_of, trained
from diffusion_peers import DATA, FAMILY, count
from gan_proof import put, table

from components.common.errors import InputError
from components.common.paths import home
from components.data.local import data_version
from components.families import artifact, catalogue
from components.stages import cache
from components.store import open_store

GUIDANCE = (1.0, 1.5)
RECIPES: dict[str, dict[str, Any]] = {
    "rectified flow": {},
    "EDM": {
        "noise_schedule": "edm",
        "prediction": "edm",
        "weighting": "edm",
        "timestep_sampling": "log_normal",
        "timestep_mean": -1.2,
        "timestep_std": 1.2,
        "sampler_steps": 18,
    },
    "DDPM": {
        "noise_schedule": "linear",
        "prediction": "eps",
        "timestep_sampling": "uniform",
        "clip_denoised": True,
        "sampler": "ddim",
        "sampler_steps": 50,
    },
    "cosine, v, min-SNR": {
        "noise_schedule": "cosine",
        "prediction": "v",
        "weighting": "min_snr",
        "timestep_sampling": "uniform",
        "sampler": "dpmpp_2m",
        "sampler_steps": 20,
    },
    "linear, v, zero SNR": {
        "noise_schedule": "linear",
        "prediction": "v",
        "zero_terminal_snr": True,
        "timestep_sampling": "uniform",
        "sampler": "ddim",
        "sampler_steps": 50,
    },
    "transformer": {"network": "dit", "width": 128, "depth": 4, "patch": 4},
}


def row(name: str, args: argparse.Namespace, judges: Judges) -> list[str]:
    """What a recipe comes to, without guidance and with it."""
    store = open_store(args.store, home())
    data, version = data_version(home(), DATA, None)
    own, chosen = settings_of(home() / CONFIG)
    config = catalogue.config_of(FAMILY, {**own, **RECIPES[name]})
    done = trained(store, config, chosen, args.minutes, args.threads, data, version)
    made = cache.read(store, done)
    generator, card, _ = artifact.load_model(store.local_copy(f"{done.uri}/model"))
    cells = [name, f"{count(generator) / 1e6:.2f} M", f"{made['images'] / made['train_seconds']:,.0f}"]
    cells.append(f"{config['sampler']} {config['sampler_steps']}")
    for guidance in GUIDANCE:
        images, _ = drawn(generator, card, {"guidance_scale": guidance}, judges.n)
        result = judges(images, asked(judges.n))
        real_baseline = judges.judge.real_baseline.value
        cells += [percent(result.right), f"{result.distances[MAIN].value / real_baseline:.2f}"]
    print(" | ".join(cells), flush=True)
    return cells


def report(args: argparse.Namespace) -> str:
    """A line for each recipe."""
    data, _ = data_version(home(), DATA, None)
    judges = Judges(open_store(args.store, home()), data, args.samples)
    header = ["recipe", "parameters", "training, images/s", "sampler"]
    for guidance in GUIDANCE:
        header += [f"correct class, guidance {guidance:g}", "distance, times the baseline"]
    lines = [row(name, args, judges) for name in args.only]
    how = f"{args.minutes:g} minutes each on {args.threads} threads; {judges.n} samples; distances on {MAIN}."
    return f"{table(header, lines)}\n\n{how}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=4, help="of training, each")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=RECIPES, nargs="+", default=list(RECIPES), metavar="NAME")
    parser.add_argument("--store", default="output")
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "diffusion.md")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        text = report(args)
        print(f"\n{text}")
        if args.write:
            put(args.write, "recipes", text)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
