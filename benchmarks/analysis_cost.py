"""What a smoke run and the analysis of a family cost on 10,000 grey images of 64 pixels in 40 classes.

    python benchmarks/analysis_cost.py make HOME [--images 10000] [--classes 40]
    python benchmarks/analysis_cost.py smoke HOME [--families autoencoder vae diffusion ...]
    python benchmarks/analysis_cost.py analysis HOME [--families autoencoder vae ...] [--steps 60]

`make` draws the images (an ellipse of each class's own shape and grey, with noise) and adds them to the
project HOME. `smoke` runs everything with --smoke and prints the seconds of each stage. `analysis` trains
each family for some steps, then makes each view of its latent codes in this process, on one thread, and
prints processor seconds. At stake: a few seconds a stage with --smoke, and a minute of one core for the
analysis of a family.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

NAME, SIDE = "ellipses", 64


def make(args: argparse.Namespace) -> None:
    """Draw the images as PNG files and add them to the project."""
    random, folder = np.random.default_rng(0), args.home / "images"
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    for c in range(args.classes):
        (folder / f"c{c:02}").mkdir(parents=True, exist_ok=True)
        own = np.random.default_rng(1000 + c)
        a, b, angle, grey = *own.uniform(0.1, 0.4, 2), own.uniform(0, np.pi), own.uniform(90, 220)
        for i in range(args.images // args.classes):
            dx, dy = random.normal(0, 0.08, 2)
            turn = angle + random.normal(0, 0.1)
            u = (x - dx) * np.cos(turn) + (y - dy) * np.sin(turn)
            v = (y - dy) * np.cos(turn) - (x - dx) * np.sin(turn)
            inside = 1 / (1 + np.exp(20 * (np.hypot(u / a, v / b) - 1)))
            image = 30 + grey * inside + random.normal(0, 8, (SIDE, SIDE))
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"c{c:02}" / f"{i:04}.png")
    command(args.home, "data", "add", NAME, str(folder), "--resolution", str(SIDE))


def command(home: Path, *arguments: str) -> str:
    """Run `atelier` in a project; return its standard output."""
    environment = {**os.environ, "ATELIER_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"atelier {' '.join(arguments)} failed")
    return done.stdout


def run(args: argparse.Namespace, *options: str, **train: Any) -> dict[str, Any]:
    """Run the families; return run.json."""
    config = args.home / "config.yaml"
    families = {name: {"train": train} for name in args.families}
    config.write_text(json.dumps({"data": {"name": NAME}, "families": families}))
    summary = json.loads(command(args.home, "run", str(config), "--json", *options))
    record: dict[str, Any] = json.loads((args.home / "output" / summary["manifest"]).read_text())
    return record


def smoke(args: argparse.Namespace) -> None:
    """Print the seconds of each stage of a smoke run."""
    began = time.monotonic()
    record = run(args, "--smoke", "--force", "prepare")
    for stage in record["stages"]:
        work = stage.get("work_seconds")
        title = " ".join(filter(None, (stage["name"], stage.get("family"))))
        print(f"{title:32} {stage['state']:8} {stage['seconds'] or 0:6.1f} s", f"work {work}" if work else "")
    print(f"{'in all, with the start of Ray and Prefect':41} {time.monotonic() - began:6.1f} s")


def analysis(args: argparse.Namespace) -> None:
    """Print the processor seconds of each view of each family."""
    from components.analysis import jobs
    from components.analysis.view import TRAINING
    from components.analysis.views import VIEWS, make_view
    from components.evaluation.requests import EvaluationPaths, Use
    from components.store import open_store

    off = ("--set", "evaluate.latent_analysis=false", "--set", "evaluate.ablation_samples=0")
    record = run(args, *off, steps=args.steps, snapshot_samples=0, num_snapshots=1)
    uris = {
        "/".join(filter(None, (s["name"], s.get("family")))): f"{s['uri']}/attempts/{s['attempt']}"
        for s in record["stages"]
    }
    store = open_store("output", args.home)
    places = EvaluationPaths(
        store, f"{uris['prepare']}/data", f"{uris['extractor']}/extractor", "", uris["reference"]
    )
    torch.set_num_threads(1)
    for family in args.families:
        subject = jobs.open_subject(
            Use(places, f"{uris[f'train/{family}']}/model", "", 0, "", {}, TRAINING), store
        )
        total = 0.0
        for name in VIEWS:
            began = time.process_time()
            made = make_view(name, subject)
            seconds = time.process_time() - began
            total += seconds
            if made:
                print(f"{family:16} {name:16} {seconds:6.1f} s", flush=True)
        print(f"{family:16} {'in all':16} {total:6.1f} s", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("mode", choices=["make", "smoke", "analysis"])
    parser.add_argument("home", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--families", nargs="*", default=["autoencoder", "vae"])
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    {"make": make, "smoke": smoke, "analysis": analysis}[args.mode](args)


if __name__ == "__main__":
    main()
