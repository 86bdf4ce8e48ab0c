"""What a run hands to the page that compares runs, and that page in a browser."""

import json
import shutil
from pathlib import Path

import pytest

from components.records.training import Selection
from components.report import build_index, build_run, comparison
from tests.report import fixture
from tests.report.fixture import HOSTILE
from tests.report.readers import check, linked, marks


def test_settings_by_dotted_name():
    config = {"a": {"b": 1, "c": {"d": [1, 2]}, "e": {}}, "f": None, "g": "ü"}
    assert comparison.settings(config) == {
        "a.b": "1",
        "a.c.d": "[1, 2]",
        "a.e": "{}",
        "f": "null",
        "g": '"ü"',
    }


def handed(store, run_id: str) -> dict:
    text = store.read_bytes(f"runs/{run_id}/report/run-data.js").decode()
    return json.loads(text.removeprefix("Atelier.receive(").removesuffix(");\n"))


def test_the_script_of_a_run_cannot_leave_its_string(store, runs):
    build_run(store, runs["partial"])
    text = store.read_bytes(f"runs/{runs['partial']}/report/run-data.js").decode()
    assert "<" not in text and "\u2028" not in text and "&" not in text
    assert handed(store, runs["partial"])["origins"]["command"] == HOSTILE


def test_the_stamp_changes_with_the_page_only(store, runs):
    stamps = []
    for _ in range(2):
        build_run(store, runs["running"])
        stamps.append(handed(store, runs["running"])["stamp"])
    path = Path(store.path(f"runs/{runs['running']}/run.json"))
    path.write_text(path.read_text().replace('"heartbeat": "', '"heartbeat": "9'))
    build_run(store, runs["running"])
    stamps.append(handed(store, runs["running"])["stamp"])
    assert stamps[0] == stamps[1] != stamps[2]


@pytest.fixture
def three(store, runs):
    """The index's folder, and a second run like the first with another setting and another number."""
    again = "20261125-080000-aaaa"
    shutil.copytree(store.path(f"runs/{runs['done']}"), store.path(f"runs/{again}"))
    path = Path(store.path(f"runs/{again}/run.json"))
    run = json.loads(path.read_text()) | {"run_id": again}
    run["lineage"]["config"]["families"]["vae"] = {"lr": 0.002}
    run["lineage"]["data"]["title"] = HOSTILE
    for result in run["results"]:
        metric = result["metrics"].get("frechet_distance")
        if metric:
            metric["value"] /= 2
            metric["comparability"] = "other" if result["family"] == "dcgan" else metric["comparability"]
    path.write_text(json.dumps(run))
    for run_id in (runs["done"], again, runs["partial"]):
        build_run(store, run_id)
    build_index(store)
    return store.path("compare.html"), runs["done"], again


@pytest.mark.browser
def test_runs_side_by_side(browser, three, runs):
    page, first, second = three
    notes = linked(browser, page, f"runs={first},{second},{runs['partial']}", """
    await wait();
    const cells = (row) => [...row.cells].map((n) => n.textContent).join("|");
    const table = (id) => all(`#${id} tbody tr`).map(cells).join(" / ");
    note("chips", all(".chip .mono").map((n) => n.textContent).join());
    note("settings", table("setting-table"));
    note("summary", one("#summary").textContent);
    const family = one("#number-tables select"); family.value = "vae";
    family.dispatchEvent(new Event("change"));
    note("best", all("#number-tables td.best").map((n) => n.cellIndex).join());
    note("numbers", table("number-tables"));
    family.value = "dcgan"; family.dispatchEvent(new Event("change"));
    note("off", all("#number-tables td.off").length);
    note("lines", all("#courses path.line").length);
    note("rows", all(".gallery tbody th").map((n) => n.textContent).join());
    note("tiles", all(".gallery .tile").length);
    const rows = one("#axes select"); rows.value = "family"; rows.dispatchEvent(new Event("change"));
    await wait();
    const columns = all("#axes select")[1]; columns.value = "run";
    columns.dispatchEvent(new Event("change")); await wait();
    note("cells", all(".gallery tbody tr").map((row) => row.querySelectorAll(".tile").length).join());
    note("said", one(".gallery .tile").getAttribute("aria-label")); note("hash", location.hash);
    note("wide", document.documentElement.scrollWidth > innerWidth);
    """)  # fmt: skip
    assert (
        notes["chips"] == f"{first},{second},{runs['partial']}"
        and "3 runs on different data" in notes["summary"]
        or notes["summary"]
    )
    assert "families.vae.lr|–|0.002|–" in notes["settings"] and "train.steps" not in notes["settings"]
    assert "2" in notes["best"].split(",") and "Fréchet distance" in notes["numbers"]
    assert int(notes["off"]) >= 1 and notes["lines"] == "3" and notes["wide"] == "false"
    assert notes["rows"] == f"{first},{second},{runs['partial']}" and notes["tiles"] == str(3 * 64)
    assert (
        notes["cells"].startswith("3,3,")
        and "columns=run" in notes["hash"]
        and f"runs={first}" in notes["hash"]
    )


@pytest.mark.browser
@pytest.mark.parametrize(("changed", "opens"), [("settings", "vae"), ("numbers", "vae"), ("nothing", "")])
def test_the_page_opens_with_a_family_that_differs(browser, store, runs, changed, opens):
    again = f"20261125-080000-{changed}"
    shutil.copytree(store.path(f"runs/{runs['done']}"), store.path(f"runs/{again}"))
    path = Path(store.path(f"runs/{again}/run.json"))
    run = json.loads(path.read_text()) | {"run_id": again}
    if changed == "settings":
        run["lineage"]["config"]["families"]["vae"] = {"lr": 0.002}
    for result in run["results"]:
        if changed == "numbers" and result["family"] == "vae":
            result["metrics"]["precision"]["value"] /= 2
    path.write_text(json.dumps(run))
    for run_id in (runs["done"], again):
        build_run(store, run_id)
    build_index(store)
    notes = linked(browser, store.path("compare.html"), f"runs={runs['done']},{again}", """
    await wait();
    note("numbers", one("#number-tables select").value); note("course", one("#courses select").value);
    note("samples", all("#axes select").map((n) => n.value).join());
    note("first", one("#number-tables option").value);
    """)  # fmt: skip
    if opens:
        assert notes["numbers"] == notes["course"] == opens and opens in notes["samples"].split(","), notes
    else:
        assert notes["numbers"] == notes["first"], notes


@pytest.mark.browser
@pytest.mark.parametrize(
    "address", ["", "runs=", "runs=../../x,a%2Fb,<script>", "runs=missing-1,missing-2", "numbers"]
)
def test_the_page_without_runs_says_so(browser, store, runs, address):
    build_index(store)
    html = (
        browser.load(f"file://{store.path('compare.html')}#{address}") if "missing" not in address else None
    )
    if html is None:  # a script that is missing is written to the console, as by any page
        with pytest.raises(AssertionError, match="ERR_FILE_NOT_FOUND"):
            browser.load(f"file://{store.path('compare.html')}#{address}")
        return
    check(html)
    assert "Choose two or more runs." in html and marks(html)["ready"] == "true"


@pytest.mark.browser
def test_the_index_opens_the_comparison(browser, store, runs):
    for name in ("done", "partial"):
        build_run(store, runs[name])
    fixture.write_many(store, 3)
    notes = linked(browser, store.path(build_index(store)), "", """
    const link = one("#list a.button"), boxes = all(".choose input");
    note("before", link.getAttribute("href")); note("dead", boxes.filter((n) => n.disabled).length);
    boxes.filter((n) => !n.disabled).slice(0, 2).forEach((n) => n.click());
    note("after", link.getAttribute("href")); note("text", link.textContent);
    """)  # fmt: skip
    assert notes["before"] == "null" and int(notes["dead"]) == 0
    assert notes["after"].startswith("compare.html#runs=2026") and notes["text"] == "Compare 2 runs"


BLIND = """
  const button = (name) => all("#blind button").find((n) => n.textContent === name);
  const press = (name) => new KeyboardEvent("keydown", { key: name, bubbles: true });
  const key = (name) => one(".duel").dispatchEvent(press(name));
"""


@pytest.mark.browser
def test_blind_votes(browser, store, runs):
    page = store.path(build_run(store, runs["done"]))
    notes = linked(browser, page, "", BLIND + """
    note("early", button("Export votes and stars").disabled);
    button("Vote").click(); await wait();
    const names = ["vae", "dcgan", "diffusion"];
    note("hidden", names.some((name) => one(".duel").textContent.includes(name)));
    note("painted", all(".duel .tile canvas").every((n) => n.width > 100));
    note("focus", document.activeElement.className);
    for (const name of ["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft"]) key(name);
    button("Tie").click(); all(".duel .tile")[1].click();
    note("table", all("#review tbody tr").length);
    const images = all("#blind select")[1]; images.value = "9"; images.dispatchEvent(new Event("change"));
    await wait();
    key("ArrowLeft");
    button("Stop").click();
    const votes = JSON.parse(localStorage.getItem("atelier-votes"));
    note("votes", votes.length); note("choices", votes.map((v) => v.choice).join());
    note("nine", votes[6].images);
    note("tasks", votes.some((v) => [v.left.family, v.right.family].includes("autoencoder")));
    const fits = (v) => v.left.step > 0 && v.sample >= 0 && v.sample < 64 && v.left.family !== v.right.family;
    note("steps", votes.every(fits));
    const sum = all("#review tbody tr").reduce((total, row) => total + Number(row.cells[5].textContent), 0);
    note("sum", sum); note("late", button("Export votes and stars").disabled);
    let file = null; URL.createObjectURL = (blob) => { file = blob; return "data:,"; };
    HTMLAnchorElement.prototype.click = function () { note("name", this.download); };
    button("Export votes and stars").click(); note("file", await file.text());
    button("Delete my votes").click(); note("none", localStorage.getItem("atelier-votes"));
    """)  # fmt: skip
    assert (notes["early"], notes["late"], notes["hidden"], notes["painted"]) == (
        "true",
        "false",
        "false",
        "true",
    )
    assert notes["focus"] == "tile" and notes["table"] == "0"  # no tally that could sway the votes
    assert notes["votes"] == "7" and notes["choices"] == "left,right,tie,left,tie,right,left"
    assert (notes["nine"], notes["tasks"], notes["steps"], notes["sum"]) == ("9", "false", "true", "7")
    assert notes["name"] == f"review-{runs['done']}.json" and "atelier review" in notes["file"]
    assert notes["none"] == "[]"


@pytest.mark.browser
def test_a_running_page_loads_itself_again_and_keeps_the_place(browser, store, runs):
    page = Path(store.path(build_run(store, runs["running"])))
    data = page.with_name("run-data.js")
    data.write_text(data.read_text().replace('"stamp":"', '"stamp":"newer'))
    twins = f'<section id="twins">{"<details><summary>Same</summary></details>" * 2}</section></main>'
    page.write_text(page.read_text().replace("</main>", twins))
    notes = linked(browser, str(page), "", """
    const visits = Number(sessionStorage.getItem("visits") || 0) + 1;
    sessionStorage.setItem("visits", visits);
    note("visits", visits); note("note", one("#live").textContent);
    if (visits === 1) {
      one("#step").value = 2; one("#step").dispatchEvent(new Event("input"));
      all("#lineage details")[0].open = true; all("#twins details")[0].open = true;
      one("#training").scrollIntoView();
      const script = document.createElement("script"); script.src = "run-data.js?1";
      document.head.append(script);
      return;
    }
    note("at", one(".player output").textContent); note("open", all("#lineage details")[0].open);
    note("twins", all("#twins details").map((n) => n.open).join());
    note("top", Math.abs(one("#training").getBoundingClientRect().top - 72) < 40);
    all("#live button")[0].click(); note("paused", all("#live button")[0].getAttribute("aria-pressed"));
    """)  # fmt: skip
    assert notes["visits"] == "2" and "refreshes itself" in notes["note"]
    assert notes["at"].startswith("step 125") and notes["open"] == "true" and notes["top"] == "true"
    assert notes["paused"] == "true" and notes["twins"] == "true,false"


def test_the_plot_of_quality_opens_with_the_metric_that_ranks():
    one, other = fixture.result("vae", 31.7), fixture.result("autoencoder", 2.4)
    assert next(iter(comparison.curves([one, other])["measures"])) == "frechet_distance"
    one.metrics["frechet_distance"].note = "mostly bias"
    curves = comparison.curves([one, other])
    assert next(iter(curves["measures"])) == "kid" and curves["notes"] == {"frechet_distance": "mostly bias"}
    assert curves["measures"]["frechet_distance"] == "Fréchet distance *"
    one = fixture.result("vae", 31.7)
    one.selected_by = Selection(metric="kid", split="validation", n=100)
    curves = comparison.curves([one])
    assert next(iter(curves["measures"])) == "kid" and "snapshots" in curves["notes"]["frechet_distance"]
    assert next(iter(comparison.curves([other])["measures"])) == "frechet_distance"
    assert next(iter(comparison.curves([])["measures"])) == "kid"


@pytest.mark.browser
def test_the_page_says_that_runs_have_the_same_result(browser, store, runs):
    again, done = "20261125-080000-3b5e", runs["done"]
    shutil.copytree(store.path(f"runs/{done}"), store.path(f"runs/{again}"))
    run = store.read_json(f"runs/{done}/run.json") | {"run_id": again}
    next(result for result in run["results"] if result["family"] == "dcgan")["train_seconds"] += 1
    store.write_json(f"runs/{again}/run.json", run)
    for run_id in (done, again):
        build_run(store, run_id)
    build_index(store)
    notes = linked(browser, store.path("compare.html"), f"runs={done},{again}", """
    const family = one("#number-tables select");
    for (const name of ["vae", "dcgan"]) {
      family.value = name; family.dispatchEvent(new Event("change")); await wait();
      note(name, all("#number-tables .same").map((n) => n.textContent).join("|"));
    }
    """)  # fmt: skip
    assert notes["vae"].startswith("Both runs have the same result of vae: ") and notes["dcgan"] == ""


@pytest.mark.browser
def test_the_page_says_what_speaks_against_numbers(browser, store, runs):
    """Noise in the second run; equal precision, and a Fréchet distance that is mostly bias, in both."""
    again, done = "20261125-080000-3b5e", runs["done"]
    shutil.copytree(store.path(f"runs/{done}"), store.path(f"runs/{again}"))
    for run_id in (done, again):
        run = store.read_json(f"runs/{run_id}/run.json") | {"run_id": run_id}
        for result in run["results"]:
            if result["family"] == "vae":
                result["metrics"]["frechet_distance"]["note"] = "mostly bias"
                result["metrics"]["recall"]["value"] *= 0.01 if run_id == again else 1
                result["metrics"]["coverage"]["value"] *= 1.2 if run_id == again else 1
        store.write_json(f"runs/{run_id}/run.json", run)
        build_run(store, run_id)
    build_index(store)
    notes = linked(browser, store.path("compare.html"), f"runs={done},{again}&family=vae", """
    await wait();
    const family = one("#number-tables select"); family.value = "vae";
    family.dispatchEvent(new Event("change"));
    note("rows", all("#number-tables tbody th").map((n) => n.textContent).join("|"));
    note("unlike", all("#number-tables .unbeaten").map((n) => n.closest("td").cellIndex).join());
    note("notes", one("#number-tables .notes").textContent);
    const dotted = (n) => n.closest("tr").cells[0].textContent.split(" ")[0] + n.closest("td").cellIndex;
    note("best", all("#number-tables .star").map(dotted).join());
    const box = one("#courses svg.plot").getBoundingClientRect();
    const inside = (n) => n.getBoundingClientRect().right <= box.right;
    const names = all("#courses text.name");
    note("inside", names.every(inside)); note("whole", names.map((n) => n.textContent).join());
    """)  # fmt: skip
    assert notes["rows"].startswith("vae|KID") and notes["unlike"] == "2"
    assert f"{again}Not near real images, so it is neither best nor ahead" in notes["notes"]
    assert "* Fréchet distanceBeware: mostly bias." in notes["notes"]
    assert notes["best"] == "Recall1,Coverage1", (
        "no dot for equal values, for noise or for what is mostly bias"
    )
    assert notes["inside"] == "true" and sorted(notes["whole"].split(",")) == [done, again]


@pytest.mark.browser
def test_the_slider_goes_to_the_end_of_what_is_shown(browser, store, runs):
    """The vae was sampled until step 250 only, other families until 1,000."""
    again, done = "20261125-080000-3b5e", runs["done"]
    shutil.copytree(store.path(f"runs/{done}"), store.path(f"runs/{again}"))
    for step in (500, 750, 1000):
        store.delete(f"store/train/vae1000000000000/attempts/1/samples/step-{step:07d}.webp")
    for run_id in (done, again):
        run = store.read_json(f"runs/{run_id}/run.json") | {"run_id": run_id}
        store.write_json(f"runs/{run_id}/run.json", run)
        build_run(store, run_id)
    build_index(store)
    notes = linked(browser, store.path("compare.html"), f"runs={done},{again}&family=vae", """
    await wait();
    const at = () => one(".player output").textContent, family = all("#axes select")[2];
    note("first", at()); family.value = "dcgan"; family.dispatchEvent(new Event("change")); await wait();
    note("second", at());
    """)  # fmt: skip
    assert (notes["first"], notes["second"]) == ("step 250 of 250", "step 1,000 of 1,000")
