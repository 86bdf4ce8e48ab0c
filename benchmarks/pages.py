"""How fast pages are built and opened: python benchmarks/pages.py [RUNS]. Needs Chromium; leaves nothing.

The index of RUNS runs is built, built again when one run is added, and opened from its file in a headless
browser, as is the page of a run with four families. A page is open when its scripts have drawn it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.report import build_index, build_run
from components.report.build import ASSETS
from components.store import Store
from tests.browser import CHROMIUM, Browser, chromium
from tests.report import fixture

RUNS, OPENINGS = 1000, 5


def open_page(browser: Browser, url: str) -> tuple[float, float]:
    """Return the seconds from the navigation until the page is drawn, and those of its main thread."""
    context = browser.call("Target.createBrowserContext")["browserContextId"]
    made = browser.call("Target.createTarget", url="about:blank", browserContextId=context)
    session = browser.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)["sessionId"]
    browser.call("Performance.enable", session, timeDomain="threadTicks")
    start = time.perf_counter()
    browser.call("Page.navigate", session, url=url)
    question = {"expression": "document.documentElement.dataset.ready"}
    while browser.call("Runtime.evaluate", session, **question)["result"].get("value") != "true":
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    metrics = browser.call("Performance.getMetrics", session)["metrics"]
    computed = next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
    browser.call("Target.disposeBrowserContext", browserContextId=context)
    return seconds, computed


def megabytes(page: Path) -> float:
    """Return the size of a page before images: its HTML, scripts and style sheet."""
    html = page.read_text()
    parts = [page, *(page.with_name(name) for name in ASSETS if f'"{name}"' in html)]
    return sum(part.stat().st_size for part in parts) / 1e6


def timed(build: Callable[..., str], store: Store, *arguments: str) -> tuple[float, float, Path]:
    """Return the seconds that a page took to build, those of them on a processor, and the page."""
    start, computed = time.perf_counter(), time.process_time()
    path = build(store, *arguments)
    return time.perf_counter() - start, time.process_time() - computed, Path(store.path(path))


def measure(folder: Path, runs: int) -> dict[str, float]:
    """Return seconds and megabytes."""
    store = Store(str(folder / "output"))
    fixture.write_many(store, runs)
    build_s, build_cpu_s, index = timed(build_index, store)
    added = fixture.write_done(store)
    run_s, run_cpu_s, page = timed(build_run, store, added)
    add_s, add_cpu_s, _ = timed(build_index, store, added)
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine")
    with chromium(CHROMIUM, folder / "profile") as browser:
        opened = [open_page(browser, f"file://{index}") for _ in range(OPENINGS)]
        opened_run = [open_page(browser, f"file://{page}") for _ in range(OPENINGS)]
    return {
        "index_built_s": build_s,
        "index_built_cpu_s": build_cpu_s,
        "index_with_one_more_s": add_s,
        "index_with_one_more_cpu_s": add_cpu_s,
        "index_opened_s": statistics.median(seconds for seconds, _ in opened),
        "index_opened_cpu_s": statistics.median(computed for _, computed in opened),
        "index_mb": megabytes(index),
        "run_built_s": run_s,
        "run_built_cpu_s": run_cpu_s,
        "run_opened_s": statistics.median(seconds for seconds, _ in opened_run),
        "run_opened_cpu_s": statistics.median(computed for _, computed in opened_run),
        "run_mb": megabytes(page),
    }


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), runs)
    print(json.dumps({name: round(value, 2) for name, value in measured.items()}, indent=1))


if __name__ == "__main__":
    main()
