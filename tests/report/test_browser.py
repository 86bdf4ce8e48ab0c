"""The pages in a real browser, from file:// and from the viewer: the script runs to its end."""

import re
import threading
from pathlib import Path

import pytest

from components.report import build_index, build_run, server
from tests.report import fixture, sweeps
from tests.report.fixture import HOSTILE
from tests.report.readers import check, linked, marks, with_script

pytestmark = pytest.mark.browser
# What a reader does, as a script of the page's own origin: the policy allows no other.
READER = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const all = (s) => [...document.querySelectorAll(s)];
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  const ink = () => all("#grids canvas").map((c) => c.width * c.height).join();
  await wait();
  note("kept", all("#grids .who small").map((n) => n.textContent.endsWith(", kept")).join());
  const near = document.querySelector("#near canvas"), box = near.getBoundingClientRect();
  near.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + 20, clientY: box.top + 20 }));
  note("hover", near.title);
  note("canvases", all("#grids canvas").length); note("painted", ink());
  const slider = document.querySelector("#step");
  slider.value = 0; slider.dispatchEvent(new Event("input")); await wait();
  note("first", document.querySelector(".player output").textContent);
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  await wait();
  note("second", document.querySelector(".player output").textContent);
  const shown = () => all(".board th[data-better]").filter((th) => th.offsetWidth).length;
  const every = all(".tools button").find((b) => b.textContent === "All 13 measures");
  note("calm", shown());
  every.click(); note("every", shown()); note("pressed", every.getAttribute("aria-pressed"));
  note("remembered", localStorage.getItem("atelier-measures")); every.click(); note("again", shown());
  note("studies", all("[data-study]").map((n) => n.querySelectorAll("svg.plot .even").length).join());
  note("lines", all("[data-study] .chart").map((n) => n.querySelectorAll("path.line").length).join());
  note("spread", all(".by-noise path.band").length);
  note("rings", all("#quality .kept").length);
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
# What a reader does who asks how a training went.
DOCTOR = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const all = (s, within = document) => [...within.querySelectorAll(s)];
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  await wait();
  const one = (s) => document.querySelector(s), at = () => one("#step").getAttribute("aria-valuetext");
  const sick = one("[data-health=dcgan]"), well = one("[data-health=sngan]");
  note("plots", all("svg.plot", sick).length);
  note("signs", all("svg.plot", sick).map((plot) => all(".disease", plot).length).join());
  note("shapes", all(".disease", sick.querySelector("svg.plot")).map((n) => n.tagName).join());
  note("bands", all("svg.plot", sick).map((plot) => all(".band", plot).length).join());
  note("pale", all(".given-up", sick).filter((n) => n.getAttribute("d")).length);
  note("advice", all(".legend", sick)[0].textContent);
  note("folded", !well.closest("details").open);
  well.closest("details").open = true; await wait();
  note("unfolded", all("svg.plot", well).length);
  note("ticks", all(".track .sign").map((n) => n.title).join("|"));
  note("bars", all("#bars .disease").length);
  note("icons", all(".event .sign svg").length);
  const plot = sick.querySelector("svg.plot"), readout = sick.querySelector(".readout");
  const key = (name) => plot.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
  plot.focus(); key("Home"); key("Enter"); note("moved", at());
  for (let i = 0; i < 27; i++) key("ArrowRight");
  note("read", readout.textContent);
  all(".track .sign")[0].click(); await wait();
  note("went", at()); note("hash", location.hash);
  note("end", "reached");
});
"""
# What a reader does who asks what codes are good for.
CURIOUS = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const one = (s) => document.querySelector(s), all = (s) => [...document.querySelectorAll(s)];
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  await wait();
  const views = all("#latent-analysis article:last-child details");
  note("open", views.map((view) => Number(view.open)).join(""));
  for (const view of views) view.open = true;
  await wait();
  note("kinds", all("#latent-analysis .chart").map((n) => n.className.split(" ")[1]).join());
  note("plots", all("#latent-analysis .chart svg.plot").length);
  const read = (chart) => {
    one(`${chart} svg.plot`).dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
    return one(`${chart} .readout`).textContent;
  };
  note("line", read("#latent-analysis .lines")); note("bar", read("#latent-analysis .bars"));
  note("heat", read(".by-latent"));
  note("bars", all("#latent-analysis .bars rect").length); note("cells", all(".by-latent rect").length);
  note("dots", all("#latent-analysis .scatter .plot .dot").length);
  const colour = (node) => getComputedStyle(node).getPropertyValue("--s");
  note("colours", new Set(all("#latent-analysis .scatter .plot .dots").map(colour)).size);
  const three = all("#latent-analysis .apart")[3];
  const faded = () => all("#latent-analysis .scatter .dots.faded").length;
  const map = document.querySelector("#latent-analysis .scatter .plot");
  map.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  const { x, y } = all("#latent-analysis .scatter .plot .dot")[4].getBoundingClientRect();
  map.dispatchEvent(new MouseEvent("click", { clientX: x + 2, clientY: y + 2, bubbles: true }));
  note("picked", all("#latent-analysis .picked canvas").map((n) => n.getAttribute("aria-label")).join());
  three.click(); note("apart", faded()); note("pressed", three.getAttribute("aria-pressed"));
  three.click(); note("together", faded());
  note("small", all("#latent-analysis img").filter((n) => n.getBoundingClientRect().height < 100).length);
  note("wide", document.documentElement.scrollWidth > innerWidth);
  note("end", "reached");
});
"""
# What a reader does who asks what a search has found.
SEARCHER = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const one = (s) => document.querySelector(s), all = (s) => [...document.querySelectorAll(s)];
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  await wait();
  const shown = () => all("tr[data-trial]").filter((row) => !row.hidden).length;
  const faded = () => all(".parallel path.faded").length, status = () => one(".shown").textContent;
  const titles = all(".sweep .charts h4").map((n) => n.textContent);
  note("titles", titles.join("|"));
  note("lines", all(".parallel path[data-trial]").length); note("won", all(".parallel .won").length);
  note("axes", all(".parallel .axis").length); note("before", `${shown()} ${faded()} ${status()}`);
  const area = all(".parallel .area").pop(), box = area.getBoundingClientRect(), x = box.left + box.width / 2;
  const at = (share) => box.bottom - 8 - share * (box.height - 16);
  const pointer = (name, share) => {
    const where = { clientX: x, clientY: at(share), bubbles: true, pointerId: 1 };
    area.dispatchEvent(new PointerEvent(name, where));
  };
  pointer("pointerdown", 0.3); pointer("pointermove", -0.1); pointer("pointerup", -0.1);
  note("dragged", `${shown()} ${faded()} ${status()}`);
  note("kept", one(".parallel .readout").textContent);
  pointer("pointerdown", 0.5); pointer("pointerup", 0.5); note("let", shown());
  const handles = all(".parallel .handle"), key = (node, name) => {
    node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  };
  note("said", `${handles[2].getAttribute("aria-label")} ${handles[2].getAttribute("aria-valuetext")}`);
  handles[2].focus(); key(handles[2], "ArrowUp"); key(handles[2], "ArrowUp");
  note("keyed", handles[2].getAttribute("aria-valuetext")); note("choice", `${shown()} ${status()}`);
  const clear = all(".parallel button").find((n) => n.textContent === "Show all trials");
  clear.click(); note("cleared", `${shown()} ${clear.hidden}`);
  const plot = one(".parallel svg.plot"); plot.focus(); key(plot, "ArrowRight");
  note("best", one(".parallel .readout").textContent); note("hot", all("tr.hot").length);
  const read = all(".sweep .charts svg.plot").map((plot) => {
    plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
    return plot.closest(".chart").querySelector(".readout").textContent;
  });
  note("read", read.join("|"));
  const samples = () => all(".picked img").map((n) => n.alt).join();
  key(plot, "Enter"); note("entered", samples());
  const dot = one('.charts .dot[data-trial="2"]');
  if (dot) dot.dispatchEvent(new MouseEvent("click", { bubbles: true })); note("clicked", samples());
  const score = one(".parallel select");
  if (score) { score.value = "first"; score.dispatchEvent(new Event("change")); await wait(); }
  note("after", all(".parallel path[data-trial]").length);
  note("wide", document.documentElement.scrollWidth > innerWidth);
  note("end", "reached");
});
"""
# Only pages of a server may read the pixels of their own pictures.
FRAMES = """
addEventListener("load", () => setTimeout(() => {
  const rows = [...document.querySelectorAll("#near .strip")].map((strip) => {
    const canvases = [...strip.querySelectorAll("canvas")];
    const frames = canvases.map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1);
      const framed = (x) => [213, 94, 0].every((c, i) => data[4 * x + i] === c);
      return Number([...Array(canvas.width).keys()].some(framed));
    });
    return frames.join("");
  });
  document.documentElement.dataset.frames = rows.join();
  document.documentElement.dataset.said = document.querySelectorAll("#near .who small")[1].textContent;
}, 1500));
"""


@pytest.mark.parametrize("content", [
    "<script>console.log(1)</script>",
    "<script>setTimeout(() => { throw Error() }, 3000)</script>",
    """<meta http-equiv="Content-Security-Policy" content="script-src 'none'"><script>1</script>""",
    '<img src="missing.png">',
])  # fmt: skip
def test_a_page_that_writes_to_the_console_fails(browser, tmp_path, content):
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><html><head></head><body>{content}</body></html>")
    with pytest.raises(AssertionError, match=r"consoleAPICalled|exceptionThrown|entryAdded"):
        browser.load(f"file://{page}")
    page.write_text("<!DOCTYPE html><p>calm")
    assert "calm" in browser.load(f"file://{page}")


@pytest.mark.parametrize("status", ["done", "partial", "running", "ward"])
def test_run_page_from_file(browser, store, runs, status):
    page = build_run(store, runs[status])
    html = browser.load(f"file://{store.path(page)}")
    check(html)
    assert html.count("<canvas") >= 4 and html.count('class="plot"') >= 4


@pytest.mark.parametrize("count", [0, 1, 300])
def test_index_from_file(browser, store, count):
    fixture.write_many(store, count)
    html = browser.load(f"file://{store.path(build_index(store))}")
    check(html)
    assert html.count("<tr>") <= 60
    assert ("Page 1 of 12" in html) == (count == 300)


def test_index_shows_hostile_names_as_text(browser, store, runs):
    html = browser.load(f"file://{store.path(build_index(store))}")
    check(html)
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in html


def test_pages_from_the_viewer(browser, store, runs):
    probe = with_script(Path(store.path(build_run(store, runs["done"]))), FRAMES)
    with server(store) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        html = browser.load(f"{made.url}runs/{runs['done']}/report/{probe.name}")
        made.shutdown()
        thread.join()
    check(html)
    assert html.count("<canvas") >= 4
    notes = marks(html)
    assert (
        notes["frames"] == "0000,1100,1100"
    )  # copies are framed, in their own row and in that of their origin
    assert "of the 100 shown are framed" in notes["said"] and "samples memorised" in notes["said"]


def test_a_reader_at_work(browser, store, runs):
    probe = with_script(Path(store.path(build_run(store, runs["done"]))), READER)
    html = browser.load(f"file://{probe}")
    check(html)
    notes = marks(html)
    assert notes["end"] == "reached"
    assert int(notes["canvases"]) == 6 and "0" not in notes["painted"].split(",")
    assert notes["first"] == "step 0 of 1,000" and notes["second"] == "step 50 of 1,000"
    assert notes["order"] == "vae,dcgan,diffusion" and notes["sorted"] == "descending"
    assert "real images 1.83" in notes["tip"] and "features classifier 5f0c2b9e" in notes["tip"]
    assert notes["readout"].startswith("step 1,")
    # seven and six of the main measures, then all of both tasks
    assert (notes["calm"], notes["every"], notes["again"]) == ("13", "19", "13")
    assert notes["pressed"] == "true" and notes["remembered"] == "all"
    assert (notes["studies"], notes["lines"], notes["spread"]) == ("2,2", "2,2,1,1", "1")
    assert notes["rings"] == "3" and notes["kept"] == "false,true,true,false,false"  # at the last step
    assert re.fullmatch(r"sample \d+: distance 2\.\d\d; framed below 2.40", notes["hover"])


def test_a_reader_at_the_sickbed(browser, store, runs):
    probe = with_script(Path(store.path(build_run(store, runs["ward"]))), DOCTOR)
    html = browser.load(f"file://{probe}")
    check(html)
    notes = marks(html)
    assert notes["end"] == "reached"
    assert notes["plots"] == "6" and notes["signs"] == "2,2,2,2,2,2" and notes["shapes"] == "circle,polygon"
    assert notes["bands"] == "1,2,0,0,0,0" and notes["advice"] == "D(x)D(G(z))advice: 0.30 to 0.70"
    assert notes["pale"] == "22"  # two stretches of eleven vitals
    assert (notes["folded"], notes["unfolded"]) == ("true", "6")
    assert notes["ticks"].startswith("dcgan, step 700: Mode collapse, treated|dcgan, step 850: Vanishing")
    assert notes["bars"] == "3" and notes["icons"] == "3"
    assert notes["moved"] == "step 0 of 1,000"
    assert notes["read"].startswith("step 700: D(x) 0.") and notes["read"].endswith(
        "; Mode collapse, treated"
    )
    assert "given up (attempt 1): D(x) 0.9" in notes["read"] and "given up (attempt 2): D(x)" in notes["read"]
    assert notes["went"] == "step 500 of 1,000" and notes["hash"].endswith("-event-1-0000700")


def test_a_reader_of_uses(browser, store, runs):
    probe = with_script(Path(store.path(build_run(store, runs["done"]))), CURIOUS)
    html = browser.load(f"file://{probe}")
    check(html)
    notes = marks(html)
    assert notes["end"] == "reached" and notes["open"] == "1000000"
    assert (notes["kinds"], notes["plots"]) == ("lines,scatter,bars,lines", "4")
    assert notes["line"] == "noise sigma 0.100: codes 17.9 · PCA 16.8"
    assert notes["bar"] == "dimension 0: nats 2.50" and notes["bars"] == "32"
    assert notes["heat"].startswith("step 11: ") and "z0 0." in notes["heat"]
    assert int(notes["cells"]) > 16 * 40
    assert notes["picked"].startswith("Image of point ")
    assert 800 < int(notes["dots"]) <= 1000 and notes["colours"] == "10"
    assert (notes["apart"], notes["pressed"], notes["together"]) == ("9", "true", "0")
    assert (notes["small"], notes["wide"]) == ("0", "false")


@pytest.mark.parametrize("count", [1, 100])
def test_a_page_with_many_diagnoses(browser, store, runs, count):
    event = fixture.ended().model_copy(update={"action": "observed", "picture": None})
    events = [event.model_copy(update={"step": step}) for step in range(1, count + 1)]
    fixture.write_events(store, f"store/train/{'ganwatched':0<16}/attempts/1", events)
    html = browser.load(f"file://{store.path(build_run(store, runs['ward']))}")
    check(html)
    assert html.count('class="event ') == count + 3


def test_a_reader_of_a_sweep(browser, store):
    swept = sweeps.swept(16)
    probe = with_script(Path(store.path(build_run(store, sweeps.write(store, swept)))), SEARCHER)
    html = browser.load(f"file://{probe}")
    check(html)
    notes = marks(html)
    assert notes["end"] == "reached" and notes["titles"] == "Best so far against cost|Rungs: who went on"
    assert (notes["lines"], notes["axes"], notes["won"], notes["after"]) == ("16", "3", "1", "16")
    assert notes["before"] == "16 0 16" and notes["let"] == "16"
    remaining, faded, sentence = notes["dragged"].split(" ", 2)
    assert 0 < int(remaining) < 16 and int(faded) == 16 - int(remaining) and sentence == f"{remaining} of 16"
    assert notes["kept"].startswith(f"{remaining} of 16 trials kept: Fréchet distance 1.")
    assert notes["said"] == "loss: lower end hinge" and notes["keyed"] == "wasserstein"
    losses = [trial.values["loss"] for trial in swept.trials]
    assert notes["choice"].split(" ")[0] == str(losses.count("wasserstein"))
    assert notes["cleared"] == "16 true" and notes["hot"] == "1"
    assert notes["best"].startswith("trial ") and " done: Fréchet distance 1." in notes["best"]
    assert (
        notes["read"].startswith("after 14 s: trial ")
        and "|evaluation 1 (step 100): 15 trials" in notes["read"]
    )
    assert (
        re.fullmatch(r"Samples of trial \d+", notes["entered"]) and notes["clicked"] == "Samples of trial 2"
    )
    assert notes["wide"] == "false"


@pytest.mark.parametrize("kind", ["one", "population", "sampling", "hostile", "running", "many"])
def test_sweeps_of_every_kind(browser, store, kind):
    made = {
        "one": lambda: sweeps.swept(1),
        "population": sweeps.population,
        "sampling": sweeps.sampling,
        "hostile": sweeps.hostile,
        "running": lambda: sweeps.swept(5),
        "many": lambda: sweeps.swept(200, (sweeps.LR,), "none"),
    }[kind]()
    run_id = sweeps.write(
        store, made, state="running" if kind == "running" else "ran", pictures=kind != "many"
    )
    probe = with_script(Path(store.path(build_run(store, run_id))), SEARCHER)
    html = browser.load(f"file://{probe}")
    check(html)
    titles = marks(html)["titles"]
    assert titles.startswith("Best so far against cost")
    assert ("Genealogy" in titles, "Quality against cost" in titles) == (
        kind == "population",
        kind == "sampling",
    )


def test_the_index_ranks_as_any_run_measured(browser, store, runs):
    """A run with another number of samples must not leave all others without a rank."""
    script = """
      const label = () => all("#leaders label").find((n) => n.textContent.startsWith("Measured as in"));
      const box = () => label().querySelector("select");
      const ranked = () => all("#leaders tbody tr:not(.off)").map((n) => n.textContent).join("|");
      const before = ranked(), boxes = box().options.length;
      box().selectedIndex = boxes - 1;
      box().dispatchEvent(new Event("change"));
      await wait();
      const stays = box().selectedIndex === boxes - 1;
      note("seen", [boxes > 1, before !== ranked(), ranked() !== "", stays].join());
    """
    page = store.path(build_index(store))
    assert linked(browser, page, "", script)["seen"] == "true,true,true,true"


def test_tables_fit_on_paper(browser, store, runs):
    script = """
    const outside = all("main table").filter((n) => n.getBoundingClientRect().right > innerWidth + 1);
    note("outside", outside.map((n) => `${n.className} ${n.offsetWidth}`).join());
    note("columns", one(".board thead tr").children.length);
    """
    notes = linked(browser, store.path(build_run(store, runs["done"])), "", script, paper=True)
    assert int(notes["columns"]) > 8 and notes["outside"] == ""
