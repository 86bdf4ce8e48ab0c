"""Time and memory of each part that touches data or runs, against their number.

    python benchmarks/growth.py [--parts prepare,open,...] [--most 100000] [--rounds 3]

Each part is done with 1,000, 10,000... images, samples or runs, made in place, in a process of its own. The
table has the CPU seconds (medians), the peak of anonymous memory of the process and its children above what
they had before, and the exponents of power laws through the last two sizes: 1 is linear, 0 is constant.
Small images are of 32 x 32 pixels in grey; features have 64 dimensions.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
RESOLUTION, DIMENSIONS, SAMPLES = 32, 64, 1000
Part = Callable[[Path, int], Callable[[], object]]  # (folder, n): makes what is needed, returns what is timed


def prepare(folder: Path, n: int) -> Callable[[], object]:
    """`atelier data add` of a folder of PNG files, by one worker."""
    from components.data.sources.prepare import add

    write_images(folder / "images", n)
    return lambda: add(
        "growth", folder / "images", folder / "home", resolution=RESOLUTION, workers=1, layout="none"
    )


def version(folder: Path, n: int) -> Callable[[], object]:
    """The look at prepared data with which each run begins, from the second on."""
    from components.data.local import data_version
    from components.data.versioning import dvc

    write_prepared(folder / "home", n)
    dvc.track(folder / "home", "growth")
    data_version(folder / "home", "growth", None)
    return lambda: data_version(folder / "home", "growth", None)


def open_data(folder: Path, n: int) -> Callable[[], object]:
    """Open a split and read the first batch."""
    from components.data.batches import Batches
    from components.data.dataset import open_split

    data = write_prepared(folder / "home", n)
    return lambda: Batches(open_split(data, "train"), 64, seed=0).at(0)


def feed(folder: Path, n: int) -> Callable[[], object]:
    """1,000 batches of 64 in random order, whatever n is."""
    from components.common.memory import keep_freed
    from components.data.batches import Batches
    from components.data.dataset import open_split

    keep_freed()  # as trainings do
    batches = Batches(open_split(write_prepared(folder / "home", n), "train"), 64, seed=0)
    batches.at(0)

    def steps() -> None:
        for step in range(1000):
            batches.at(step)

    return steps


def frechet(folder: Path, n: int) -> Callable[[], object]:
    """The Frechet distance with its interval, n samples against n."""
    from components.metrics.distances import frechet_estimate

    x, y = features(n, 0), features(n, 1)
    return lambda: frechet_estimate(x, y)


def kid(folder: Path, n: int) -> Callable[[], object]:
    """KID with its interval, n samples against n."""
    from components.metrics.distances import kid_estimate

    x, y = features(n, 0), features(n, 1)
    return lambda: kid_estimate(x, y)


def precision_recall(folder: Path, n: int) -> Callable[[], object]:
    """Precision, recall, density and coverage, n samples against n."""
    from components.metrics.manifold import manifold

    x, y = features(n, 0), features(n, 1)
    return lambda: manifold(x, y)


def neighbours(folder: Path, n: int) -> Callable[[], object]:
    """The nearest of n training images of 1,000 samples."""
    from components.metrics.manifold import nearest

    x, y = features(SAMPLES, 0), features(n, 1)
    return lambda: nearest(x, y)


def runs(folder: Path, n: int) -> Callable[[], object]:
    """`atelier runs` of all runs of a store."""
    from components.store import Store
    from flows.run_list import matching
    from tests.report import fixture

    store = Store(str(folder / "store"))
    fixture.write_many(store, n)
    return lambda: matching(store)


def index(folder: Path, n: int) -> Callable[[], object]:
    """The index page of all runs, built anew."""
    from components.report import build_index
    from components.store import Store
    from tests.report import fixture

    store = Store(str(folder / "store"))
    fixture.write_many(store, n)
    return lambda: build_index(store)


PARTS: dict[str, tuple[Part, int]] = {  # and the largest number
    "prepare": (prepare, 100_000),
    "version": (version, 1_000_000),
    "open": (open_data, 1_000_000),
    "feed": (feed, 1_000_000),
    "frechet": (frechet, 100_000),
    "kid": (kid, 100_000),
    "precision_recall": (precision_recall, 30_000),
    "neighbours": (neighbours, 1_000_000),
    "runs": (runs, 1_000),
    "index": (index, 1_000),
}


def features(n: int, seed: int) -> np.ndarray:
    """Return random features (n, D)."""
    return np.random.default_rng(seed).standard_normal((n, DIMENSIONS), dtype=np.float32)


def write_images(folder: Path, n: int) -> None:
    """Write n PNG files of noise, 1,000 in a folder."""
    from PIL import Image

    noise = np.random.default_rng(0)
    for i in range(n):
        if i % 1000 == 0:
            (folder / f"{i // 1000:04d}").mkdir(parents=True)
        pixels = noise.integers(0, 256, (RESOLUTION, RESOLUTION), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i // 1000:04d}" / f"{i:07d}.png", compress_level=1)


def write_prepared(home: Path, n: int) -> Path:
    """Write a data set of n images of noise as `atelier data add` does; return its folder."""
    from components.data.sources.base import Collection
    from components.data.sources.prepare import write
    from components.data.versioning import pins

    images = np.random.default_rng(0).integers(0, 256, (n, 1, RESOLUTION, RESOLUTION), dtype=np.uint8)
    about = {"title": "noise", "source": "noise", "licence": "-", "credit": "-", "background": "white"}
    folder = pins.data_folder(home, "growth")
    folder.mkdir(parents=True)
    write(Collection(about={**about, "options": {}}, images=images, groups=range_names(n)), "growth", folder)
    return folder


def range_names(n: int) -> list[str]:
    """Return n names, which stand for the digests of the images."""
    return [f"{i:08d}" for i in range(n)]


def anonymous(process: psutil.Process) -> int:
    """Return the anonymous memory of a process and its children, in bytes."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            status = Path(f"/proc/{each.pid}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon"))
    return total


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list whose last entry becomes the peak of anonymous memory in the block, less that before."""
    process, over, peak = psutil.Process(), threading.Event(), [0]
    before = anonymous(process)

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], anonymous(process) - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def measure(name: str, n: int) -> None:
    """Print the wall and CPU seconds and the peak memory of a part as JSON."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        do = PARTS[name][0](Path(folder), n)
        with peak_memory() as peak:
            began, used = time.perf_counter(), os.times()
            do()
            wall, now = time.perf_counter() - began, os.times()
    cpu = sum(now[:4]) - sum(used[:4])
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak[0]}))


def in_process(name: str, n: int) -> dict[str, float]:
    """Return what `measure` prints in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, str(n)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} with {n}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def exponent(sizes: list[int], values: list[float]) -> str:
    """Return the exponent of the power law through the last two points."""
    if len(sizes) < 2 or min(values[-2:]) <= 0:
        return "-"
    return f"{math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2]):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--measure", nargs=2, metavar=("PART", "N"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], int(args.measure[1]))
        return
    print("| part | n | seconds | CPU s | peak MB | exponent of CPU | of memory |\n" + "| --- " * 7 + "|")
    for name in args.parts.split(","):
        sizes = [
            n for n in (10**e * k for e in (2, 3, 4, 5, 6) for k in (1, 3)) if name_fits(name, n, args.most)
        ]
        medians: list[dict[str, float]] = []
        for n in sizes:
            rounds = [in_process(name, n) for _ in range(args.rounds)]
            medians.append({key: statistics.median(r[key] for r in rounds) for key in rounds[0]})
            so_far = sizes[: len(medians)]
            powers = [exponent(so_far, [m[key] for m in medians]) for key in ("cpu", "peak")]
            last = medians[-1]
            print(
                f"| {name} | {n:,} | {last['wall']:.2f} | {last['cpu']:.2f} | {last['peak'] / 1e6:.0f} | "
                f"{powers[0]} | {powers[1]} |",
                flush=True,
            )


def name_fits(name: str, n: int, most: int) -> bool:
    """Return whether a part is measured with n: from a hundredth of its largest number on."""
    largest = min(PARTS[name][1], most)
    return largest // 100 <= n <= largest


if __name__ == "__main__":
    main()
