"""What a smoke run and the analysis of a family cost on 10,000 images of 64 pixels.

    python benchmarks/analysis_cost.py make HOME [--images 10000] [--classes 40] [--colour] [--captions]
            [--sources]
    python benchmarks/analysis_cost.py smoke HOME [--families autoencoder vae diffusion ...]
    python benchmarks/analysis_cost.py stages HOME [--families autoencoder vae diffusion ...] [--data NAME]
            [--text]
    python benchmarks/analysis_cost.py analysis HOME [--families autoencoder vae ...] [--steps 60]

`make` draws the images (an ellipse of each class's own shape and shade, with noise; `--classes 0`: without
labels, each of its own shape) and adds them to the project HOME; `--captions` writes a sentence of each, no
two alike, and `--sources` draws what to make each from. `smoke` runs everything with --smoke and prints the
seconds of each stage, which other work delays. `stages` makes the stages of a smoke run, up to the analyses,
in this process, on one thread and without Ray, and prints their processor seconds: what a stage takes beside
the start of its processes; `--text` tells the families the captions. `analysis` trains each family for some
steps, then makes each view of its latent codes in the same way. At stake: a few seconds a stage with --smoke,
and a minute of one core for the analysis of a family.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

NAME, SIDE = "ellipses", 64
CAPTION = (
    "a shaded ellipse of kind {} on a dark ground with some noise photographed at {} hours and {} minutes"
)


def make(args: argparse.Namespace) -> None:
    """Draw the images as PNG files and add them to the project."""
    random, channels, captions = np.random.default_rng(0), 3 if args.colour else 1, list[str]()
    folder, sources = args.home / "images", args.home / "sources"
    for i in range(args.images):
        c = i % args.classes if args.classes else i
        image = ellipse(np.random.default_rng(1000 + c), random, channels).squeeze(2 if channels == 1 else ())
        name = Path(f"c{c:02}" if args.classes else "") / f"{i:05}.png"
        save(image, folder / name)
        if args.captions:
            captions.append(f"{name},{CAPTION.format(c, i // 100, i % 100)}")
        if args.sources:
            save((image > image.mean()) * np.uint8(255), sources / name)
    if args.captions:
        (folder / "captions.csv").write_text("\n".join(["file_name,text", *captions]))
    options = ("--sources", str(sources)) if args.sources else ()
    command(args.home, "data", "add", NAME, str(folder), "--resolution", str(SIDE), *options)


def save(image: np.ndarray, path: Path) -> None:
    """Write an image as a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def ellipse(of_class: np.random.Generator, random: np.random.Generator, channels: int) -> np.ndarray:
    """Return an image (SIDE, SIDE, channels) of a class, moved and turned at random."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    (a, b), angle = of_class.uniform(0.1, 0.4, 2), of_class.uniform(0, np.pi)
    shade, (dx, dy) = of_class.uniform(90, 220, channels), random.normal(0, 0.08, 2)
    turn = angle + random.normal(0, 0.1)
    u = (x - dx) * np.cos(turn) + (y - dy) * np.sin(turn)
    v = (y - dy) * np.cos(turn) - (x - dx) * np.sin(turn)
    inside = 1 / (1 + np.exp(20 * (np.hypot(u / a, v / b) - 1)))
    image = 30 + shade * inside[:, :, None] + random.normal(0, 8, (SIDE, SIDE, channels))
    return image.clip(0, 255).astype(np.uint8)


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
    summary = json.loads(command(args.home, "run", str(config_of(args, **train)), "--json", *options))
    record: dict[str, Any] = json.loads((args.home / "output" / summary["manifest"]).read_text())
    return record


def config_of(args: argparse.Namespace, **train: Any) -> Path:
    """Write the config of the families; return its path."""
    config: Path = args.home / "config.yaml"
    text = {"condition": "text"} if args.text else {}
    families = {name: {**text, "train": train} for name in args.families}
    config.write_text(json.dumps({"data": {"name": args.data}, "families": families}))
    return config


def smoke(args: argparse.Namespace) -> None:
    """Print the seconds of each stage of a smoke run."""
    began = time.monotonic()
    record = run(args, "--smoke", "--force", "prepare")
    for stage in record["stages"]:
        work = stage.get("work_seconds")
        title = " ".join(filter(None, (stage["name"], stage.get("family"))))
        print(f"{title:32} {stage['state']:8} {stage['seconds'] or 0:6.1f} s", f"work {work}" if work else "")
    print(f"{'in all, with the start of Ray and Prefect':41} {time.monotonic() - began:6.1f} s")


def stages(args: argparse.Namespace) -> None:
    """Print the processor seconds of each stage of a smoke run, made in this process."""
    os.environ["ATELIER_HOME"] = str(args.home)
    import scipy.stats  # noqa: F401  imported here, or it would count as work

    from components.analysis import views  # noqa: F401
    from components.cluster import ray_cluster
    from components.pipeline.graph import family_stages, of_scope
    from components.pipeline.stage import Stage
    from components.stages.cache import Done
    from components.store import open_store
    from components.training import job as training_job
    from components.training import ray_train
    from flows import setup

    torch.set_num_threads(1)
    ray_cluster.each = in_this_process
    ray_train.fit = lambda job, name: training_job.fit(job)
    experiment, results = setup.experiment(config_of(args), [], smoke=True), dict[str, Done]()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, args.home)
        plan = setup.plan_of(experiment, store)
        assert plan, f"there is no data set {args.data} in {args.home}"
        steps: list[tuple[Stage, str | None]] = [
            (stage, None) for stage in of_scope("data") if stage.applies(plan)
        ]
        steps += [(stage, f) for f in plan.experiment.families for stage in family_stages(plan, f)]
        for stage, family in steps:
            name, began = "/".join(filter(None, (stage.name, family))), time.process_time()
            spec = stage.spec(plan, family) if family else stage.spec(plan)
            results[name] = stage.result(store, plan, spec, results, "run")
            plan = stage.settle(store, plan, results[name]) if stage.settle else plan
            print(f"{name:32} {time.process_time() - began:6.1f} s", flush=True)


def in_this_process(
    job: str | Callable[..., Any], arguments: Iterable[tuple[Any, ...]], **resources: float
) -> list[Any]:
    """Do as `ray_cluster.each`, without Ray."""
    if isinstance(job, str):
        module, _, name = job.partition(":")
        return in_this_process(getattr(importlib.import_module(module), name), arguments)
    return [job(*each) for each in arguments]


def analysis(args: argparse.Namespace) -> None:
    """Print the processor seconds of each view of each family."""
    from components.analysis import jobs
    from components.analysis.view import TRAINING
    from components.analysis.views import VIEWS, make_view
    from components.evaluation.requests import AnalysisRequest, EvaluationPaths
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
            AnalysisRequest(places, f"{uris[f'train/{family}']}/model", "", 0, "", {}, TRAINING), store
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
    parser.add_argument("mode", choices=["make", "smoke", "stages", "analysis"])
    parser.add_argument("home", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--families", nargs="*", default=["autoencoder", "vae"])
    parser.add_argument("--steps", type=int, default=60)
    for option in ("--colour", "--captions", "--sources", "--text"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--data", default=NAME)
    args = parser.parse_args()
    {"make": make, "smoke": smoke, "stages": stages, "analysis": analysis}[args.mode](args)


if __name__ == "__main__":
    main()
