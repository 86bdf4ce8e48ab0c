"""The page of a run while it trains is built once at a time, rarely, and never after the end."""

from __future__ import annotations

import threading

import pytest

from flows import live_page
from flows.live_page import LivePage

LONG = 30.0  # seconds, at most, that a test waits


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "PAUSE", 0.0)
    monkeypatch.setattr(live_page, "SHARE", 0)


def test_a_page_is_built_in_the_background_and_by_one_at_a_time() -> None:
    begun, go, built = threading.Semaphore(0), threading.Event(), []

    def build() -> None:
        begun.release()
        go.wait(LONG)
        built.append(threading.current_thread().name)

    page = LivePage(build)
    page.refresh()
    assert begun.acquire(timeout=LONG)
    page.refresh()  # while the first is being built
    go.set()
    page.stop()
    assert built == ["page"] and not begun.acquire(blocking=False)


def test_the_end_waits_for_a_page_and_no_other_is_begun() -> None:
    built = []
    page = LivePage(lambda: built.append(1))
    page.refresh()
    page.stop()
    page.refresh()
    page.stop()
    assert built == [1]


def test_a_page_that_cannot_be_built_is_tried_again() -> None:
    tries = threading.Semaphore(0)

    def build() -> None:
        tries.release()
        raise OSError("no answer")

    page = LivePage(build)
    for _ in range(2):
        page.refresh()
        assert tries.acquire(timeout=LONG)
        with page._building:  # it has ended
            pass


def test_a_page_is_not_built_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "PAUSE", 1000.0)
    built: list[int] = []
    page = LivePage(lambda: built.append(1))
    page.refresh()
    with page._building:
        pass
    page.refresh()
    page.stop()
    assert built == [1]
