"""Samples in a real browser: rows and columns, the axis of the slider, enlarged samples, stars, addresses."""

import pytest

from components.report import build_run
from tests.report import fixture
from tests.report.readers import check, linked, marks, read_as

pytestmark = pytest.mark.browser

HEADS = """
  const heads = () => all(".gallery thead th").slice(1).map((n) => n.textContent);
  const lines = () => all(".gallery tbody th").map((n) => n.textContent);
  const choose = async (label, value) => {
    const box = all(".tools.axes label, .player label").find((n) => n.firstChild.textContent === label);
    const select = box.querySelector("select");
    select.value = value; select.dispatchEvent(new Event("change")); await wait();
  };
  const key = (node, name) => node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
"""


@pytest.fixture
def page(store, runs):
    return store.path(build_run(store, runs["done"]))


def test_rows_and_columns_are_any_two_of_family_step_and_sample(browser, page):
    notes = read_as(browser, page, HEADS + """
    await choose("Columns", "step");
    note("families", lines().join()); note("steps", heads().join()); note("strips", one("#grids").hidden);
    note("painted", all(".gallery canvas").every((n) => n.width > 20));
    await choose("Rows", "step");  // what were rows and columns change places
    note("turned", heads().join());
    await choose("Columns", "sample");
    note("samples", heads().length); note("rows", lines().join());
    await choose("Family", "dcgan");
    note("said", one(".gallery .tile").getAttribute("aria-label"));
    note("hash", location.hash);
    const tile = one(".gallery .tile"); tile.focus(); key(tile, "ArrowDown");
    key(document.activeElement, "End");
    note("walked", document.activeElement.getAttribute("aria-label"));
    note("tabs", all(".gallery .tile").filter((n) => n.tabIndex === 0).length);
    await choose("Rows", "family"); note("back", one("#grids").hidden);
    note("wide", document.documentElement.scrollWidth > innerWidth);
    """)  # fmt: skip
    steps = "0,50,125,250,500,750,1,000"
    assert notes["families"] == notes["turned"] == ",".join(fixture.FAMILIES) and notes["steps"] == steps
    assert (notes["strips"], notes["painted"], notes["back"], notes["wide"]) == (
        "true",
        "true",
        "false",
        "false",
    )
    assert notes["samples"] == "64" and notes["rows"] == steps
    assert notes["said"] == "dcgan, step 0, sample 1" and notes["walked"] == "dcgan, step 50, sample 64"
    assert notes["tabs"] == "1"
    assert "family=dcgan" in notes["hash"] and "rows=step" in notes["hash"]


def test_the_axis_of_the_slider(browser, page):
    notes = read_as(browser, page, HEADS + """
    const out = () => one(".player output").textContent;
    const notes = () => all("#grids .who small").map((n) => n.textContent);
    await choose("Axis", "seconds"); note("seconds", out());
    one("#step").value = 9; one("#step").dispatchEvent(new Event("input")); await wait();
    note("early", out()); note("apart", notes().slice(1).join("|").replaceAll("\u00a0", " "));
    await choose("Axis", "images"); note("images", out()); note("hash", location.hash);
    note("lines", all("#losses svg.plot .now").map((n) => n.getAttribute("visibility")).join());
    """)  # fmt: skip
    assert notes["seconds"].endswith(" of 2 min 50 s")
    assert notes["early"].endswith(" s of 2 min 50 s")
    steps = [note.split(",")[0] for note in notes["apart"].split("|")]
    assert len(set(steps)) > 1  # at the same time, families are at different steps
    assert notes["images"].endswith(" of 127 k images") and "images=" in notes["hash"]
    assert "visible" in notes["lines"]


def test_the_slider_knows_the_steps_of_a_training_that_has_not_ended(browser, store, runs):
    manifest = f"runs/{runs['running']}/run.json"
    run = store.read_json(manifest)
    run["lineage"]["config"]["families"]["dcgan"] = {"train": {"steps": 2400}}
    store.write_json(manifest, run)
    notes = read_as(browser, store.path(build_run(store, runs["running"])), HEADS + """
    note("steps", one(".player output").textContent);
    await choose("Axis", "images"); note("images", one(".player output").textContent);
    """)  # fmt: skip
    assert notes["steps"] == "step 1,000 of 2,400" and notes["images"].endswith(" images so far")


def test_a_sample_is_enlarged_by_keys_and_keeps_its_star(browser, page):
    notes = read_as(browser, page, HEADS + """
    const facts = () => `${one(".viewer h3").textContent}: ${one(".viewer p").textContent}`;
    const press = (name) => key(one("dialog"), name);
    all(".player button").find((n) => n.textContent === "Enlarge").click(); await wait();
    note("first", facts()); note("parts", all(".parts figcaption").map((n) => n.textContent).join());
    press("PageDown"); press("ArrowRight"); press("ArrowRight"); press("ArrowDown"); await wait();
    note("then", facts()); note("hash", location.hash); note("large", one(".parts canvas").width);
    press("s"); note("star", one(".viewer [aria-pressed]").textContent);
    note("kept", localStorage.getItem("atelier-stars"));
    one(".viewer [aria-label=Close]").click(); await wait();
    note("closed", !one("dialog").open); note("list", one("#starred").textContent);
    note("after", location.hash);
    one("#starred .tile").click(); await wait(); note("again", facts());
    press("s"); note("none", one("#starred").textContent);
    """)  # fmt: skip
    assert notes["first"].startswith("autoencoder: step 1,000") and notes["parts"] == "output,original"
    assert notes["then"].startswith("vae: step 750 · after 33 s · sample 3 of 64")
    assert "family=vae&amp;step=750&amp;sample=3" in notes["hash"] and int(notes["large"]) >= 400
    assert notes["star"] == "★ Starred" and "&quot;step&quot;:750,&quot;sample&quot;:2" in notes["kept"]
    assert (
        notes["closed"] == "true"
        and notes["list"] == "Starredvae, step 750"
        and "sample" not in notes["after"]
    )
    assert notes["again"] == notes["then"] and notes["none"] == ""


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("run={run}&family=dcgan&step=250&sample=5", "dcgan step 250"),
        ("family=dcgan&step=260&sample=5", "dcgan step 250"),
        ("family=dcgan&seconds=34&sample=5", "dcgan step 250"),
        ("family=%3Cscript%3E&step=nonsense&sample=-3", "none step 1,000"),
        ("family=dcgan&step=1e9&sample=99999", "dcgan step 1,000"),
        ("health", "none step 1,000"),
    ],
)
def test_an_address_opens_what_its_sender_saw(browser, page, runs, address, facts):
    notes = linked(browser, page, address.format(run=runs["done"]), """
    const dialog = one("dialog[open]"), name = dialog ? one(".viewer h3").textContent : "none";
    const text = one(dialog ? ".viewer p" : ".player output").textContent, at = /step [\\d,]+/.exec(text)[0];
    note("facts", `${name} ${at}`);
    """)  # fmt: skip
    assert notes["facts"] == facts


def test_a_click_on_a_plot_shows_the_samples_of_the_point(browser, page):
    notes = read_as(browser, page, """
    const plot = one("#quality svg.plot");
    const key = (node, name) => node.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
    plot.focus(); key(plot, "Home"); key(plot, "ArrowRight"); key(plot, "Enter"); await wait();
    note("went", one(".player output").textContent); note("picked", one(".picked .who").textContent);
    const losses = one("#losses svg.plot"); losses.focus(); key(losses, "Home"); key(losses, "Enter");
    await wait();
    note("losses", one(".player output").textContent); note("hash", location.hash);
    """)  # fmt: skip
    assert notes["went"] != "step 1,000 of 1,000" and notes["picked"]
    assert notes["losses"] == "step 0 of 1,000" and "family=autoencoder" in notes["hash"]


def test_a_page_without_samples_has_no_gallery(browser, store):
    fixture.write_many(store, 1)
    html = browser.load(f"file://{store.path(build_run(store, store.list('runs')[0]))}#step=3&sample=2")
    check(html)
    assert "No samples have been drawn yet." in html and marks(html)["ready"] == "true"
