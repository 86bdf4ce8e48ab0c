"""What the page shows of the styles of a style-based family."""

from __future__ import annotations

from components.records.analysis import LatentAnalysis, LatentAnalysisResult, Picture, View
from components.report import build_run
from tests.report import fixture
from tests.report.test_pages import page


def with_styles(store, run_id: str) -> None:
    """Add the stage `style_analysis`, with an animation and its still, to a run."""
    moving = Picture(
        path="interpolation-0.webp", still="interpolation-0-still.webp", rows=1, columns=6, title="Ways"
    )
    views = [View(name="interpolation", title="Interpolation in W", pictures=[moving])]
    result = LatentAnalysisResult(analysis=LatentAnalysis(views=views))
    sheet = fixture.sheet(fixture.digits()[:6], 6)
    pictures = {"interpolation-0.webp": sheet, "interpolation-0-still.webp": sheet}
    stage = fixture.finished(store, "style_analysis", "dcgan", result.to_json(), pictures)
    manifest = f"runs/{run_id}/run.json"
    run = store.read_json(manifest)
    run["stages"].append(stage.to_json())
    store.write_json(manifest, run)


def test_styles_have_a_section_with_a_still_where_nothing_may_move(store, runs):
    with_styles(store, runs["done"])
    rel = build_run(store, runs["done"])
    html = page(store, rel)
    (family,) = [f for f in html.data["families"] if f["styles"]]
    (picture,) = family["styles"]["views"][0]["pictures"]
    assert family["name"] == "dcgan" and "#styles" in {a.get("href") for _, a in html.tags}
    (image,) = [a for tag, a in html.tags if tag == "img" and a["src"] == picture["src"]]
    assert (image["width"], image["height"]) == ("336", "56") and image["alt"]
    (source,) = [a for tag, a in html.tags if tag == "source"]
    assert source["srcset"] == picture["still"] and "prefers-reduced-motion" in source["media"]
    for name in (picture["src"], picture["still"]):
        assert store.exists(f"runs/{runs['done']}/report/{name}")


def test_other_runs_have_none(store, runs):
    html = page(store, build_run(store, runs["ward"]))
    assert not {"styles", "h-styles"} & {a.get("id") for _, a in html.tags}
    assert "#styles" not in {a.get("href") for _, a in html.tags}
