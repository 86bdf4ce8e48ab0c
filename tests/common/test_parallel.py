"""The order and the number of results, by threads and by processes."""

from __future__ import annotations

import os
import warnings

import pytest
from PIL import Image

from components.common import parallel


@pytest.mark.parametrize(("workers", "chunk", "own"), [(1, 16, True), (3, 0, True), (2, 16, False)])
def test_results_come_in_order_from_threads_or_processes(
    workers: int, chunk: int, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "MANY", 40)
    results = list(parallel.in_order(lambda n: (n * n, os.getpid()), range(100), workers, chunk=chunk))
    assert [square for square, _ in results] == [n * n for n in range(100)]
    assert {pid == os.getpid() for _, pid in results} == {own}


def test_few_items_start_no_processes() -> None:
    results = list(parallel.in_order(lambda n: os.getpid(), range(parallel.MANY - 1), 2, chunk=1024))
    assert set(results) == {os.getpid()}


@pytest.mark.parametrize("chunk", [0, 16])
def test_an_error_reaches_the_caller(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MANY", 40)
    with pytest.raises(ZeroDivisionError):
        list(parallel.in_order(lambda n: 1 // (n - 50), range(100), 2, chunk=chunk))


def test_large_images_cause_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(n: int) -> int:
        warnings.warn("large", Image.DecompressionBombWarning, stacklevel=1)
        return n

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(parallel.in_order(warn, range(10), 2)) == list(range(10))
