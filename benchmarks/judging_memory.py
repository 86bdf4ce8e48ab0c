"""The memory that judging 10,000 images with Inception takes: driver, Ray and all workers together.

    python benchmarks/judging_memory.py [--images 10000] [--looked 1024] [--threads 1] [--small]

Prints the largest sum of proportional set sizes (PSS) while a folder of images is judged, by the jobs and
under the Ray of `atelier evaluate`, against as many test images: features, real baselines, all metrics. At
stake: 2 GB, which is 2,048 MiB.
With --looked only so many pass through the network and the other features are made up, since its memory does
not grow with n. This process imports no more than `atelier evaluate` does; torch is for the workers.
Needs pip install --require-hashes -r requirements/peers.txt.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import flows.evaluate  # noqa: F401  what the command imports counts
from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.data.card import DatasetCard
from components.data.external import scan_images
from components.evaluation.comparability import INDEPENDENT
from components.evaluation.requests import EvaluationPaths
from components.pipeline.reference import IMAGES_PER_JOB as LOOKED
from components.store import Store

CLASSIFIER_STEPS = 400  # of a network that data without labels does not need


def measure(args: argparse.Namespace) -> None:
    """Peak memory of each step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sha256 = apart(set_up, folder, args.images, args.small)
        store, card = Store(folder / "store"), DatasetCard.read(folder / "store" / "data")
        places = EvaluationPaths(store, "data", "extractor", "parts", "reference", args.threads)
        outside = scan_images(folder / "images", card, folder / "scratch")

        def step(what: str, job: str, *jobs: tuple[Any, ...]) -> float:
            module = "external_jobs" if "external" in job else "jobs"
            arguments = [(sha256, f"components.evaluation.{module}:{job}", *each) for each in jobs]
            return peak(what, lambda: ray_cluster.each(insisting_on, arguments, cpus=args.threads))

        visits = min(args.looked or args.images, args.images)
        real = [
            (places, split, *r) for split, n in card.counts.items() for r in ranges(min(n, visits), LOOKED)
        ]
        made = [(places, outside.part(start, n), start) for start, n in ranges(visits, LOOKED)]
        verdict = (places, "test", outside.preparation, INDEPENDENT)
        peaks = [step("features of real images", "extract_features", *real)]
        for split, n in card.counts.items():
            apart(invent, store, f"parts/{split}", visits, n)
        peaks += [step("real baselines", "reference", (places, "reference", args.images, CLASSIFIER_STEPS))]
        store.delete("parts")
        peaks += [step("features of the folder", "extract_external_features", *made)]
        apart(invent, store, "parts", visits, args.images)
        peaks += [step("all metrics", "evaluate_external", verdict)]
        ray_cluster.disconnect()
    print(f"{args.images:,} images judged: at most {max(peaks):,.0f} MiB")


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `function` from a process of its own, whose memory is not counted."""
    with ProcessPoolExecutor(1, get_context("spawn")) as another:
        return another.submit(function, *arguments).result()


def insisting_on(sha256: str, job: str, *arguments: Any) -> Any:
    """A job in a world where these are the weights of 2015: no others are ever called Inception."""
    import importlib

    from components.extractors import pretrained

    module, _, function = job.partition(":")
    pretrained.INCEPTION_SHA256 = sha256
    return getattr(importlib.import_module(module), function)(*arguments)


def invent(store: Store, parts: str, start: int, n: int) -> None:
    """Leave made-up features of images [start, n): a network's memory does not grow with their number."""
    from components.evaluation.parts import write_part
    from components.records.evaluation import Part

    for first, length in ranges(max(n - start, 0), LOOKED):
        random = np.random.default_rng([start, first])
        values = np.maximum(random.normal(0.3, 0.3, (length, 2048)), 0).astype(np.float32)
        write_part(store, parts, start + first, {"features": values}, Part(n=length))


def set_up(folder: Path, count: int, small: bool) -> str:
    """A folder of images, and a store with a data set and an extractor; the sha256 of its random weights."""
    import torch
    from judging import adopt, random_weights, write_images

    from components.data.dataset import open_split
    from components.extractors.small import train_extractor
    from components.store import Store

    torch.save(random_weights(), folder / "weights.pth")
    write_images(folder / "images", count)
    write_data(folder / "data", count)
    sha256 = adopt(folder)
    if small:
        splits = open_split(folder / "data", "train"), open_split(folder / "data", "validation")
        train_extractor(*splits, folder / "extractor", "rotation", steps=100)
    for part in ("data", "extractor"):
        Store(folder / "store").upload(folder / part, part)
    return sha256


def write_data(folder: Path, count: int) -> None:
    """A data set of noise with `count` images to judge against, and as many to train on."""
    from judging import CARD, noise

    from components.data.sources.base import Collection
    from components.data.sources.prepare import write

    folder.mkdir()
    splits = {"train": count, "validation": 64, "test": count}
    stated = [split for split, n in splits.items() for _ in range(n)]
    about = {"title": "", "source": "", "licence": "", "credit": ""}
    images = noise(len(stated), seed=1)
    groups = [str(i) for i in range(len(stated))]
    write(Collection(about, images, groups, splits=stated), CARD.name, folder)


def peak(what: str, run: Callable[[], object]) -> float:
    """The most memory in MiB that this process and all below it held while `run` ran."""
    began = time.perf_counter()
    with watched() as sizes:
        run()
    most = max(sizes) / 1024
    print(f"{what:<32} {time.perf_counter() - began:8.1f} s  {most:8,.0f} MiB", flush=True)
    return most


@contextmanager
def watched(every: float = 0.5) -> Iterator[list[int]]:
    """A growing list of the kB in use."""
    sizes, ended = [in_use()], threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            sizes.append(in_use())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def in_use() -> int:
    """Sum of the proportional set sizes of this process and all below it, in kB."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    ours, before = {os.getpid()}, 0
    while len(ours) > before:
        before = len(ours)
        ours |= {child for child, parent in parents.items() if parent in ours}
    return sum(proportional(pid) for pid in ours)


def proportional(pid: int) -> int:
    """Proportional set size of a process in kB; 0 once it has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument(
        "--looked", type=int, help="of them, seen by the network; the rest is made up (default: all)"
    )
    parser.add_argument("--small", action="store_true", help="with the small network that needs no file")
    parser.add_argument("--threads", type=int, default=1, help="of a job: evaluate.threads")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
