"""Files that are decoded here, in processes and on a cluster give the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.cluster import ray_cluster
from components.data.sources import decoding
from components.data.sources.decoding import on_cluster, rendered
from components.data.sources.images import Rendering
from tests.data.pictures import picture

RENDERING = Rendering(16, "rgb", "white")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Names of 12 pictures, a damaged file and one that is missing."""
    for i in range(12):
        picture(i).save(tmp_path / f"{i:02}.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "00.png").read_bytes()[:60])
    return [f"{i:02}.png" for i in range(12)] + ["damaged.png", "missing.png"]


def as_bytes(results: Any) -> list[Any]:
    return [(path, digest, np.array(made).tobytes()) for path, digest, made in results]


def test_a_cluster_decodes_what_this_process_would(
    tmp_path: Path, files: list[str], ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = as_bytes(rendered(tmp_path, files, RENDERING, 1))
    used: list[int] = []
    there = lambda *a, most, **k: used.append(most) or on_cluster(*a, most=5, **k)  # noqa: E731 - more than one task
    monkeypatch.setattr(decoding, "MANY", 10)
    monkeypatch.setattr(decoding, "on_cluster", there)
    assert as_bytes(rendered(tmp_path, files, RENDERING, None, processes=True)) == expected
    assert used == [128] and [result[0] for result in expected] == files
    assert as_bytes(rendered(tmp_path, files, RENDERING, 2, processes=True)) == expected
    assert as_bytes(rendered(tmp_path, files[:5], RENDERING, None, processes=True)) == expected[:5]
    assert len(used) == 1, "a number of workers, or few files, stay on this machine"


def test_tasks_are_small_whatever_the_files(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are read as they are sent, and cut by size as well as by number."""
    taken: list[list[str]] = []

    def stream(job: Any, batches: Any) -> Any:
        for batch in batches:
            taken.append([path for path, _ in batch])
            yield job(batch)

    monkeypatch.setattr(ray_cluster, "stream", stream)
    results = on_cluster(tmp_path, files, len, most=5)
    next(results)
    assert taken == [files[:5]]
    assert [len(batch) for batch in (list(results), taken)[1]] == [5, 5, 4]
    monkeypatch.setattr(decoding, "TASK_BYTES", 1)
    taken.clear()
    sizes = {path: made for path, _, made in on_cluster(tmp_path, files, len, most=5)}
    assert taken == [[path] for path in files]
    assert sizes["00.png"] == (tmp_path / "00.png").stat().st_size
    assert sizes["missing.png"] == "cannot be read"
