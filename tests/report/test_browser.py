"""The pages in a real browser, from file:// and from the viewer: the script runs to its end."""

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from components.report import build_index, build_run, server
from tests.report import fixture
from tests.report.fixture import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFF = ("background-networking", "component-update", "gpu", "quic", "sync")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in OFF)]
FLAGS += ["--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"]
# What a reader does, as a script of the page's own origin: the policy allows no other.
READER = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const all = (s) => [...document.querySelectorAll(s)];
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  const ink = () => all("#grids canvas").map((c) => c.width * c.height).join();
  await wait();
  note("canvases", all("#grids canvas").length); note("painted", ink());
  const slider = document.querySelector("#step");
  slider.value = 0; slider.dispatchEvent(new Event("input")); await wait();
  note("first", document.querySelector(".player output").textContent);
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  await wait();
  note("second", document.querySelector(".player output").textContent);
  const heads = all(".board th button.sort"); heads[2].click(); heads[2].click();
  const rows = [...all(".board")[0].querySelectorAll("tbody th")];
  note("order", rows.map((th) => th.dataset.sort).join());
  note("sorted", heads[2].closest("th").getAttribute("aria-sort"));
  all(".tip")[0].focus(); note("tip", document.querySelector("#pop").textContent);
  const plot = document.querySelector("#losses svg.plot"); plot.focus();
  plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
  note("readout", document.querySelector("#losses .readout").textContent);
  all(".segment button")[1].click(); all("button[aria-pressed]").forEach((b) => b.click());
  document.querySelector("#theme").click(); await wait();
  note("end", "reached");
});
"""


@pytest.fixture(autouse=True)
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: the pages cannot be checked")
        pytest.skip("no Chromium on this machine")


def load(url: str, profile: Path) -> str:
    """The page's document after its script has run."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    messages = re.findall(r"CONSOLE.*", done.stderr)
    assert not messages, messages
    return done.stdout


def marks(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', re.search(r"<html[^>]*>", html)[0]))


def check(html: str) -> None:
    assert marks(html)["ready"] == "true" and marks(html)["errors"] == "0"
    assert "<script>alert" not in html


@pytest.mark.parametrize("status", ["done", "partial", "running"])
def test_run_page_from_file(store, runs, tmp_path, status):
    page = build_run(store, runs[status])
    html = load(f"file://{store.path(page)}", tmp_path / "profile")
    check(html)
    assert html.count("<canvas") >= 4 and html.count('class="plot"') >= 4


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_index_from_file(store, tmp_path, count):
    fixture.write_many(store, count)
    html = load(f"file://{store.path(build_index(store))}", tmp_path / "profile")
    check(html)
    assert html.count("<tr>") <= 60
    assert ("Page 1 of 40" in html) == (count == 1000)


def test_index_shows_hostile_names_as_text(store, runs, tmp_path):
    html = load(f"file://{store.path(build_index(store))}", tmp_path / "profile")
    check(html)
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in html


def test_pages_from_the_viewer(store, runs, tmp_path):
    page = build_run(store, runs["done"])
    with server(store) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        html = load(f"{made.url}{page}", tmp_path / "profile")
        made.shutdown()
        thread.join()
    check(html)
    assert html.count("<canvas") >= 4


def test_a_reader_at_work(store, runs, tmp_path):
    page = Path(store.path(build_run(store, runs["done"])))
    (page.parent / "reader.js").write_text(READER)
    probe = page.with_name("probe.html")
    probe.write_text(page.read_text().replace("</head>", '<script src="reader.js"></script></head>'))
    html = load(f"file://{probe}", tmp_path / "profile")
    check(html)
    seen = marks(html)
    assert seen["end"] == "reached"
    assert int(seen["canvases"]) == 6 and "0" not in seen["painted"].split(",")
    assert seen["first"] == "step 0 of 1,000" and seen["second"] == "step 50 of 1,000"
    assert seen["order"] == "vae,dcgan,diffusion" and seen["sorted"] == "descending"
    assert "floor 1.83" in seen["tip"] and "classifier features" in seen["tip"]
    assert seen["readout"].startswith("step 1,")
