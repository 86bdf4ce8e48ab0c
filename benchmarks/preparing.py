"""Seconds and memory of `atelier data add` with one and with two workers, in turn.

python benchmarks/preparing.py [--images 100000] [--rounds 1]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import growth

from components.data.sources.prepare import add


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        growth.write_images(images, args.images)
        for number in range(args.rounds):
            for workers in (1, 2):
                began, home = time.perf_counter(), Path(folder) / f"home{number}-{workers}"
                with growth.peak_memory() as peak:
                    add(
                        "images",
                        images,
                        home,
                        resolution=growth.RESOLUTION,
                        layout="none",
                        workers=workers,
                    )
                seconds = time.perf_counter() - began
                print(
                    f"{args.images:,} images, {workers} workers: {seconds:.1f} s, {peak[0] >> 20} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
