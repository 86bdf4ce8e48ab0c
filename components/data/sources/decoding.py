"""Read and decode many image files, here or on a cluster: results in order, few of them ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from components.cluster import ray_cluster
from components.common.parallel import BATCH, MANY, in_order
from components.data.sources.attempt import Result, attempt, content, of_content
from components.data.sources.images import Rendering, render, render_all

T = TypeVar("T")

PENDING_BYTES = 64_000_000  # of images that processes read ahead
MAX_CHUNK = 16_384  # files that they read ahead; each chunk costs about a tenth of a second
TASK_BYTES = 16_000_000  # of files, or of images, that a task of a cluster takes or returns, roughly


def rendered(
    root: Path,
    paths: Sequence[str],
    rendering: Rendering,
    workers: int | None,
    frames: str = "first",
    *,
    processes: bool = False,
) -> Iterator[Result[list[np.ndarray]]]:
    """Yield (path, digest, images (3, R, R)) of each file; a reason instead of images if it is unusable.

    Many files are decoded in processes, if those are allowed; and on the cluster of RAY_ADDRESS if there is
    one and no number of workers is asked for.
    """
    size = 3 * rendering.resolution**2
    do = partial(_rendered, rendering, frames)
    if processes and workers is None and len(paths) >= MANY and os.environ.get("RAY_ADDRESS"):
        return on_cluster(root, paths, do, most=max(1, min(BATCH, TASK_BYTES // size)))
    chunk = min(MAX_CHUNK, max(64, PENDING_BYTES // size))
    return in_order(lambda path: attempt(root, path, do), paths, workers, chunk=chunk if processes else 0)


def _rendered(rendering: Rendering, frames: str, data: bytes) -> list[np.ndarray]:
    return render_all(data, rendering) if frames == "all" else [render(data, rendering)]


def on_cluster(
    root: Path, paths: Sequence[str], do: Callable[[bytes], T], *, most: int
) -> Iterator[Result[T]]:
    """Yield `attempt` of each file; tasks of the cluster do it with what is read here, `most` files each."""
    for results in ray_cluster.stream(partial(_attempts, do), _batches(root, paths, most)):
        yield from results


def _batches(root: Path, paths: Sequence[str], most: int) -> Iterator[list[tuple[str, bytes | str]]]:
    """Yield the paths and contents of files, in lists of at most about TASK_BYTES."""
    batch, size = list[tuple[str, bytes | str]](), 0
    for path in paths:
        data = content(root, path)
        batch.append((path, data))
        size += len(data)
        if len(batch) == most or size >= TASK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _attempts(do: Callable[[bytes], T], batch: Sequence[tuple[str, bytes | str]]) -> list[Result[T]]:
    return list(in_order(lambda file: of_content(*file, do), batch, 1))
