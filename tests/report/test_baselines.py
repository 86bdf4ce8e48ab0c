"""Baselines beside results, and results that do not beat them."""

from __future__ import annotations

from components.data.card import DatasetCard, Sources
from components.records.evaluation import Baseline, MetricResult
from components.records.run import FamilyResult
from components.report import build_run, leaderboard
from components.report.baselines import distinct, shortcomings, unbeaten
from components.report.model_card import model_card
from tests.report.translated import results


def metric(value: float, better: str = "lower", recipe: str = "a") -> MetricResult:
    return MetricResult(value=value, better=better, comparability=recipe, n=100, split="test")


def result(family: str, kid: float, psnr: float, *baselines: Baseline) -> FamilyResult:
    metrics = {"reconstruction_kid": metric(kid), "psnr": metric(psnr, "higher")}
    return FamilyResult(family=family, task="translate", metrics=metrics, baselines=list(baselines))


def baseline(name: str, kid: float, psnr: float, recipe: str = "a") -> Baseline:
    metrics = {"reconstruction_kid": metric(kid, recipe=recipe), "psnr": metric(psnr, "higher", recipe)}
    return Baseline(name=name, metrics=metrics)


SOURCE, NEAREST = baseline("identity", 0.9, 12.0), baseline("nearest_pair", 0.1, 15.0)
NAMES = ("reconstruction_kid", "psnr")


def test_each_baseline_that_is_not_beaten_is_named_with_its_metrics() -> None:
    behind = result("pix2pix", 0.2, 11.0, SOURCE, NEAREST)
    assert unbeaten(behind, "reconstruction_kid") == ["the nearest training pair"]
    assert shortcomings(behind, NAMES) == (
        "Does not beat the source itself in PSNR (dB) or the nearest training pair in KID or PSNR (dB)."
    )
    ahead = result("pix2pix", 0.05, 16.0, SOURCE, NEAREST)
    assert unbeaten(ahead, "reconstruction_kid") == [] and shortcomings(ahead, NAMES) == ""
    equal = result("pix2pix", 0.1, 16.0, NEAREST)
    assert unbeaten(equal, "reconstruction_kid") == ["the nearest training pair"], "equal is not better"
    other = result("pix2pix", 0.2, 11.0, baseline("identity", 0.1, 12.0, recipe="b"))
    assert shortcomings(other, NAMES) == "", "measured otherwise, so not compared"


def test_a_baseline_that_families_share_is_one_row() -> None:
    families = [result("pix2pix", 0.2, 11.0, SOURCE), result("other", 0.3, 10.0, SOURCE)]
    assert [label for label, _ in distinct(families)] == ["the source itself"]
    families.append(result("inpainting", 0.3, 10.0, baseline("identity", 0.5, 9.0)))
    labels = [label for label, _ in distinct(families)]
    assert labels == ["the source itself, for pix2pix", "the source itself, for inpainting"]


def test_the_leaderboard_shows_baselines_and_says_who_does_not_beat_them() -> None:
    families = [result("pix2pix", 0.2, 16.0, SOURCE, NEAREST), result("other", 0.05, 16.0, SOURCE, NEAREST)]
    (group,) = leaderboard.groups(families)
    assert [(row.family, row.unbeaten) for row in group.rows] == [
        ("other", ""),
        ("pix2pix", "the nearest training pair"),
    ]
    assert [row.cells[0].sort for row in group.baselines] == [0.9, 0.1]
    assert [note.family for note in group.shortcomings] == ["pix2pix"]
    assert "does not beat" not in leaderboard.verdict("done", families, 2, [])
    alone = leaderboard.verdict("done", families[:1], 1, [])
    assert alone.endswith("pix2pix reaches KID 0.200, but does not beat the nearest training pair.")


def test_backward_measures_follow_the_forward_ones_under_their_own_names() -> None:
    names = ("backward_kid", "cycle_error", "kid", "backward_cycle_error")
    both = FamilyResult(
        family="cyclegan", task="translate_unpaired", metrics={name: metric(0.1) for name in names}
    )
    (group,) = leaderboard.groups([both])
    labels = [column.label for column in group.columns]
    assert labels == ["KID", "Cycle error", "Backward: KID", "Backward: Cycle error"]


def test_a_model_card_says_how_it_compares() -> None:
    behind, ahead = results()[0], results()[2]
    described = DatasetCard(
        name="d",
        title="D",
        source="s",
        licence="l",
        credit="c",
        resolution=8,
        channels=1,
        counts={"train": 9},
        sources=Sources(resolution=8, channels=3, counts={"train": 9}, paired=("train",)),
    )
    assert "channel(s), from sources of 8 x 8 pixels, 3 channel(s)." in model_card(described, ahead)
    assert "    atelier sample FOLDER --source IMAGE -o samples.png" in model_card(described, ahead)
    assert "Compared with the source itself and the nearest training pair" in model_card(described, behind)
    assert "Does not beat the nearest training pair in Fréchet distance" in model_card(described, behind)
    assert "Beats them in every error and distance." in model_card(described, ahead)


def test_the_page_says_it_in_words(store, runs) -> None:
    run = store.read_json(f"runs/{runs['done']}/run.json")
    for family in run["results"]:
        metrics = {"mse": {**family["metrics"]["mse"], "value": 0.001}} if "mse" in family["metrics"] else {}
        family["baselines"] = [{"name": "identity", "metrics": metrics}] if metrics else []
    store.write_json(f"runs/{runs['done']}/run.json", run)
    html = store.read_text(build_run(store, runs["done"]))
    assert "baseline, learns nothing" in html and "Does not beat the source itself in MSE." in html
    assert html.count('class="baseline"') == 1
