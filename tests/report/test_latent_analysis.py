"""What the page tells of the uses of codes: tables, plots, pictures; and of the KL by dimension."""

import math

import pytest

from components.analysis.view import plot, table
from components.records.analysis import Sheet
from components.report import build_run, latent_analysis
from components.report.reading import curves, kl_by_latent
from tests.report.fixture import HOSTILE
from tests.report.test_pages import page


@pytest.fixture
def section(store, runs):
    """The page of a run with uses, and the views of its VAE by title."""
    html = page(store, build_run(store, runs["done"]))
    (family,) = [f for f in html.data["families"] if f["name"] == "vae"]
    return html, {view["title"]: view for view in family["uses"]["views"]}


def test_families_with_codes_have_a_section(store, runs, section):
    html, views = section
    assert list(views) == [
        *("Compression", "Denoising", "Map", "Draws"),
        *("Traversals", "Posterior", "Likelihood"),
    ]
    assert {a["data-use"] for _, a in html.tags if "data-use" in a} == {"vae"}
    assert "#latent-analysis" in {a.get("href") for _, a in html.tags}
    assert "3,600 training, 400 validation and 1,000 test" in html.text
    other = page(store, build_run(store, runs["ward"]))
    assert not {"uses", "h-latent-analysis"} & {a.get("id") for _, a in other.tags}
    assert "#latent-analysis" not in {a.get("href") for _, a in other.tags}


def test_the_best_of_a_column_is_marked_where_rows_are_rivals(section):
    (compression,) = section[1]["Compression"]["tables"]
    best = [[cell["best"] for cell in row["cells"]] for row in compression["rows"]]
    assert best[0] == [True, True, True] and best[1] == [True, True, False]
    assert not any(best[2] + best[3]) and compression["rows"][2]["cells"][1]["text"] == "12.9, at quality 1"
    assert compression["rows"][3]["cells"][2] == {"text": "–", "interval": "", "best": False}
    (denoising,) = section[1]["Denoising"]["tables"]
    assert not any(cell["best"] for row in denoising["rows"] for cell in row["cells"])
    assert [column["arrow"] for column in denoising["columns"]] == ["", "↑", "↑"]


def test_what_is_alone_or_the_same_is_not_the_best():
    columns = (("a", "lower"), ("b", "higher"))
    drawn = latent_analysis.table(table(columns, [("x", (1.0, "?")), ("y", (1.0, 3))]))
    assert [len(row.cells) for row in drawn.rows] == [2, 2]
    assert not any(cell.best for row in drawn.rows for cell in row.cells)


def test_a_column_is_written_to_as_many_digits_as_it_needs(section):
    (table,) = section[1]["Posterior"]["tables"]
    texts = [row["cells"][0]["text"] for row in table["rows"]]
    assert texts == ["21.30", "-104.7", "11 of 32"]
    assert table["rows"][1]["cells"][0]["interval"] == "-105.8 to -103.7"


def test_plots_keep_what_can_be_drawn(section):
    (dots,) = section[1]["Map"]["plots"]
    assert len(dots["lines"]) == 10
    assert 800 < sum(len(line["points"]) for line in dots["lines"]) <= latent_analysis.MAX_DOTS
    assert (dots["samples"]["path"][-10:], dots["samples"]["columns"]) == ("map-0.webp", 32)
    assert section[1]["Map"]["pictures"] == []
    many = plot("scatter", "x", "y", {"": [(i, i) for i in range(latent_analysis.MAX_DOTS + 1)]})
    thinned = latent_analysis.plot(
        many.model_copy(update={"samples": Sheet(path="a.webp", rows=1, columns=1)})
    )
    assert thinned and thinned.samples is None, "images are numbered by points"
    (bound,) = section[1]["Likelihood"]["plots"]
    assert bound["log"] and [x for x, _ in bound["lines"][0]["points"]] == [1, 10, 100, 1000]
    zero = latent_analysis.plot(plot("lines", "x", "y", {"": [(0, 1), (1, math.inf)]}, log=True))
    assert zero and not zero.log and zero.lines[0].points == [[0, 1]]
    assert latent_analysis.plot(plot("lines", "x", "y", {"": [(0, math.nan)]})) is None


def test_pictures_have_their_size_so_that_nothing_moves(store, runs, section):
    pictures = [a for tag, a in section[0].tags if tag == "img" and "/latent_analysis-" in a.get("src", "")]
    sizes = [(a["width"], a["height"]) for a in pictures]
    assert sizes == [("560", "168"), ("448", "448"), ("448", "448"), ("504", "672")]
    for picture in pictures:
        assert picture["alt"] and store.exists(f"runs/{runs['done']}/report/{picture['src']}")


def test_harm_in_a_view_stays_text(store, runs):
    rel = build_run(store, runs["partial"])
    html = page(store, rel)
    (family,) = [f for f in html.data["families"] if f["uses"]]
    (view,) = family["uses"]["views"]  # the empty one is left out
    assert HOSTILE not in store.read_text(rel) and html.text.count(HOSTILE) > 8
    assert [plot["kind"] for plot in view["plots"]] == ["scatter"]
    assert view["plots"][0]["lines"] == [{"name": HOSTILE, "points": [[1, 2]]}]
    assert len(view["pictures"]) == 1 and ".." not in view["pictures"][0]["src"]


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "{",
        '{"analysis": 3}',
        '{"analysis": {"views": [1, {"tables": 2, "plots": [3], "pictures": {}}], "n": [1]}}',
    ]
    + [
        '{"analysis": {"views": [{"tables": [{"columns": [1], "rows": [{"cells": [[1]]}]}]}],"n": {"a": {}}}}'
    ],
)
def test_uses_may_be_rubbish(store, runs, junk):
    for stage in store.read_json(f"runs/{runs['done']}/run.json")["stages"]:
        if stage["name"] == "latent_analysis":
            store.write_text(f"{stage['uri']}/attempts/1/result.json", junk)
    page(store, build_run(store, runs["done"]))


def test_failed_uses_do_not_speak_for_their_family(store, runs):
    manifest = f"runs/{runs['done']}/run.json"
    run = store.read_json(manifest)
    (stage,) = [s for s in run["stages"] if (s["name"], s["family"]) == ("latent_analysis", "vae")]
    store.delete(f"{stage['uri']}/attempts/1/result.json")
    stage |= {"state": "failed", "error": "no test images"}
    store.write_json(manifest, run)
    html = page(store, build_run(store, runs["done"]))
    assert "All 4 families finished." in html.text and "no test images" in html.text
    (family,) = [f for f in html.data["families"] if f["name"] == "vae"]
    assert not family["uses"] and family["state"] == "ran" and family["curves"]["step"]


# The KL by dimension


def test_the_kl_of_every_dimension_is_one_plot(section):
    (family,) = [f for f in section[0].data["families"] if f["name"] == "vae"]
    assert not [name for name in family["curves"]["series"] if "kl_z" in name]
    (course,) = family["by_latent"]
    assert [dimension["z"] for dimension in course["dimensions"]] == list(range(16))
    assert len(course["step"]) <= 60 and {len(d["kl"]) for d in course["dimensions"]} == {len(course["step"])}


def test_the_highest_at_the_end_comes_first():
    rows = [{"step": s, "p/kl_z0": 3.0 - s, "p/kl_z1": float(s), "p/kl_z2": float("nan")} for s in (1, 2)]
    (course,) = kl_by_latent(rows)
    assert [(d.z, d.kl) for d in course.dimensions] == [
        *((1, [1.0, 2.0]), (0, [2.0, 1.0])),
        (2, [None, None]),
    ]
    assert kl_by_latent([{"step": 1, "p/kl": 1.0}]) == []
    assert list(curves([{"step": 1, "p/kl": 1.0, "p/kl_z1": 2.0}]).series) == ["p/kl"]
