"""Families that make images from sources on the page: side by side, and under a divider."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from components.report import build_run, server
from tests.report.fixture import STEPS
from tests.report.test_browser import check, marks, with_script
from tests.report.test_pages import page
from tests.report.translated import write_translated

DRAGGING = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const all = (s) => [...document.querySelectorAll(s)], one = (s) => document.querySelector(s);
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  await wait();
  const captions = (strip) => [...strip.querySelectorAll(".lines small")].map((n) => n.textContent).join("|");
  note("captions", all("#grids .strip").map(captions).join("|"));
  note("compared", all(".compare").length);
  const divider = one(".divider"), stage = one(".compare canvas"), next = all(".compare .segment button")[1];
  const pixels = () => stage.toDataURL();
  const move = async (value) => {
    divider.value = value; divider.dispatchEvent(new Event("input")); await wait();
  };
  note("label", divider.getAttribute("aria-label")); note("at", divider.getAttribute("aria-valuetext"));
  const middle = pixels();
  await move(100); const left = pixels();
  await move(0); const right = pixels();
  note("moved", divider.getAttribute("aria-valuetext"));
  note("differ", new Set([left, middle, right]).size);
  next.click(); await wait();
  note("next", one(".compare output").textContent); note("other", pixels() !== right);
  all(".compare button").pop().click(); await wait(); note("truth", divider.getAttribute("aria-label"));
  const slider = one("#step"); await move(100);
  const late = pixels(); slider.value = 0; slider.dispatchEvent(new Event("input")); await wait();
  note("early", pixels() !== late);
  note("wide", document.documentElement.scrollWidth > innerWidth);
  note("end", "reached");
});
"""


def test_the_page_carries_sources_and_truth(store) -> None:
    run = write_translated(store)
    html = page(store, build_run(store, run))
    families = {family["name"]: family for family in html.data["families"]}
    about = {
        name: (f["source"], f["divider"], f["samples"]["originals"] is not None)
        for name, f in families.items()
        if f["source"]
    }
    assert about == {
        "pix2pix": ("source", False, True),
        "cyclegan": ("source", False, False),
        "super_resolution": ("bicubic", True, True),
    }
    for name in about:
        for src in filter(None, (families[name]["samples"][key] for key in ("given", "originals"))):
            assert store.exists(f"runs/{run}/report/{src}")
    backward = families["cyclegan"]["samples"]["backward"]
    assert [grid["step"] for grid in backward["grids"]] == list(STEPS) and backward["originals"] is None
    assert families["pix2pix"]["samples"]["backward"] is None
    assert html.text.count("baseline, learns nothing") == 4
    assert "pix2pix reaches Fréchet distance 5.00 (perfect 0), but does not beat the nearest" in html.text


@pytest.mark.browser
def test_the_divider_is_moved_as_sliders_are(browser, store) -> None:
    run = write_translated(store)
    probe = with_script(Path(store.path(build_run(store, run))), DRAGGING)
    check(browser.load(f"file://{store.path(build_run(store, run))}"))
    with server(store) as made:  # only a server's pages may read their pixels
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        html = browser.load(f"{made.url}runs/{run}/report/{probe.name}")
        made.shutdown()
        thread.join()
    check(html)
    notes = marks(html)
    assert notes["end"] == "reached" and notes["wide"] == "false"
    assert notes["compared"] == "1" and notes["differ"] == "3"
    assert notes["captions"].split("|") == [
        f"{columns}, from left to right"
        for columns in (
            "source, output, truth",
            "source, output",
            "backward, image, output",
            "bicubic, output, truth",
        )
    ]
    assert notes["label"] == "Divider between bicubic and output of super_resolution"
    assert (notes["at"], notes["moved"]) == ("50 % bicubic", "0 % bicubic")
    assert notes["next"] == "sample 2 of 64" and notes["other"] == "true"
    assert notes["truth"] == "Divider between output and truth of super_resolution"
    assert notes["early"] == "true", "the slider of steps changes what is compared"
