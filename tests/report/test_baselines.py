"""Baselines beside results, and results that do not beat them."""

from __future__ import annotations

from components.data.card import DatasetCard, Sources
from components.records.evaluation import Baseline, MetricResult
from components.records.run import FamilyResult, RunSummary, StageEntry
from components.report import build_run, index_page, leaderboard
from components.report.baselines import (
    copies,
    crowded,
    distinct,
    in_words,
    may_lead,
    shortcomings,
    unbeaten,
    unlike_real,
)
from components.report.comparison import numbers
from components.report.judging import brief
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


ENDED = {"gan": "the loss is not finite", "vae": "interrupted"}

DATA = DatasetCard(
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
    assert "channel(s), from sources of 8 x 8 pixels, 3 channel(s)." in model_card(DATA, ahead)
    assert "    atelier sample FOLDER --source IMAGE -o drawn.png" in model_card(DATA, ahead)
    assert "Compared with the source itself and the nearest training pair" in model_card(DATA, behind)
    assert "Does not beat the nearest training pair in Fréchet distance" in model_card(DATA, behind)
    assert "Beats them in every error and distance." in model_card(DATA, ahead)
    ahead.metrics = {name: metric.model_copy(update={"n": None}) for name, metric in ahead.metrics.items()}
    assert "|  |" in model_card(DATA, ahead), "a metric without a number of images has none there"


def test_the_page_says_it_in_words(store, runs) -> None:
    run = store.read_json(f"runs/{runs['done']}/run.json")
    for family in run["results"]:
        metrics = {"mse": {**family["metrics"]["mse"], "value": 0.001}} if "mse" in family["metrics"] else {}
        family["baselines"] = [{"name": "identity", "metrics": metrics}] if metrics else []
    store.write_json(f"runs/{runs['done']}/run.json", run)
    html = store.read_text(build_run(store, runs["done"]))
    assert "baseline, learns nothing" in html and "Does not beat the source itself in MSE." in html
    assert html.count('class="baseline"') == 1


def generated(family: str, recall: float, frechet: float, precision: float = 0.97) -> FamilyResult:
    """A generator's result; real images have a recall of 0.8 and a Fréchet distance of 0.5."""
    shares = metric(recall, "higher").model_copy(update={"real_baseline": 0.8})
    distance = metric(frechet).model_copy(update={"real_baseline": 0.5})
    metrics = {"frechet_distance": distance, "precision": metric(precision, "higher"), "recall": shares}
    return FamilyResult(family=family, task="generate", metrics=metrics)


def test_noise_is_neither_best_nor_ahead() -> None:
    """Blobs of little recall may have the best precision."""
    good, blobs, noise = (
        generated("vae", 0.6, 5.0, 0.96),
        generated("dcgan", 0.1, 4.0),
        generated("gan", 0.0, 90.0),
    )
    assert unlike_real(good) == ""
    assert unlike_real(blobs) == "Recall is 10.0\u00a0%, that of real images 80.0\u00a0%"
    assert unlike_real(generated("gan", 0.6, 26.0)).startswith(
        "Fréchet distance is 26.0, that of real images"
    )
    (group,) = leaderboard.groups([blobs, good, noise])
    best = {row.family: [cell.best for cell in row.cells] for row in group.rows}
    assert all(best["vae"]) and not any(best["dcgan"]) and not any(best["gan"])
    assert "vae reaches Fréchet distance 5.00" in leaderboard.verdict("done", [blobs, good], 2, [])
    assert [one["family"] for one in leaderboard.leaders([blobs, good])] == ["vae"]
    (first,) = leaderboard.leaders([noise, blobs])
    assert first["family"] == "dcgan" and first["unlike"].startswith("Recall is 10.0")
    both = leaderboard.verdict("done", [blobs, noise], 2, [])
    assert "Generating: no family is near real images yet (dcgan: Recall is 10.0" in both
    ended = [StageEntry(name="train", family=f, state="failed", error=e) for f, e in ENDED.items()]
    line = index_page.summary("r", RunSummary(run_id="r", results=[good, noise], stages=ended))
    assert [bool(result["unlike"]) for result in line["results"]] == [False, True]
    assert line["failed"] == ["gan"], "an interrupted training has not failed"
    card, other = model_card(DATA, noise, smoke=True), model_card(DATA, good)
    assert "The samples are not near real images: Fréchet distance is 90.0" in card and "Smoke run" in card
    assert "near real images" not in other and "Smoke run" not in other


def shared(family: str, precision: float, recall: float, coverage: float) -> FamilyResult:
    """A generator's result; real images have a precision of 0.7, a recall of 0.8 and a coverage of 0.9."""
    values = {"precision": (precision, 0.7), "recall": (recall, 0.8), "coverage": (coverage, 0.9)}
    metrics = {
        name: metric(value, "higher").model_copy(update={"real_baseline": real})
        for name, (value, real) in values.items()
    }
    return FamilyResult(family=family, task="generate", metrics=metrics)


def test_precision_that_lacks_variety_does_not_lead() -> None:
    good = shared("diffusion", 0.6, 0.7, 0.8)
    blobs = [
        shared("gan", 0.69, 0.35, 0.8),  # recall below half of real images'
        shared("dcgan", 0.69, 0.7, 0.4),
        shared("wgan", 0.9, 0.7, 0.8),  # more precise than real images
        shared("sngan", 0.79, 0.41, 1.0),  # a little of both, as blobs of 443 emoji
    ]
    for result in blobs:
        (group,) = leaderboard.groups([result, good])
        best = {row.family: [cell.best for cell in row.cells] for row in group.rows}
        names = [column.name for column in group.columns]
        assert (
            best["diffusion"][names.index("precision")] and not best[result.family][names.index("precision")]
        )
        assert unlike_real(result) == "", "it is not so bad that no number of it leads"
        assert may_lead(result, "recall")
    assert may_lead(shared("vae", 0.72, 0.7, 0.8), "precision"), "above real images by chance"
    cells = [numbers(one)["metrics"]["precision"]["may_lead"] for one in (good, blobs[0])]
    assert cells == [True, False], "also where runs are compared"


def test_a_doubtful_metric_is_marked_and_never_best() -> None:
    near, far = generated("vae", 0.6, 5.0), generated("diffusion", 0.7, 6.0)
    for one, kid in ((near, 0.3), (far, 0.2)):
        one.metrics["kid"] = metric(kid)
        one.metrics["frechet_distance"].note = "mostly bias"
    (group,) = leaderboard.groups([near, far])
    names = [column.name for column in group.columns]
    assert names[0] == "kid" and group.rows[0].family == "diffusion" and group.rows[0].cells[0].best
    distances = [row.cells[names.index("frechet_distance")] for row in group.rows]
    assert [cell.text for cell in distances] == ["6.00 *", "5.00 *"]
    assert not any(cell.best for cell in distances)
    card = model_card(DATA, near)
    assert card.index("| KID |") < card.index("| Fréchet distance | lower | 5.00 * |")
    assert "\n\\* Fréchet distance: mostly bias.\n" in card
    metrics = numbers(near)["metrics"]
    assert next(iter(metrics)) == "kid" and metrics["frechet_distance"]["text"] == "5.00 *"
    assert (metrics["frechet_distance"]["note"], metrics["kid"]["note"]) == ("mostly bias", "")
    assert not metrics["frechet_distance"]["may_lead"]


def test_equal_values_are_not_best() -> None:
    families = [generated("vae", 0.6, 5.0), generated("gan", 0.6001, 6.0), generated("dcgan", 0.5, 7.0)]
    (group,) = leaderboard.groups(families)
    names = [column.name for column in group.columns]
    best = {name: [row.cells[i].best for row in group.rows] for i, name in enumerate(names)}
    assert best == {
        "frechet_distance": [True, False, False],
        "precision": [False] * 3,
        "recall": [False] * 3,  # 60.0 % twice
    }


def copied(value: float, low: float | None, real: float, note: str | None = None) -> dict[str, MetricResult]:
    return {"memorization_rate": MetricResult(value=value, low=low, real_baseline=real, n=88, note=note)}


def test_copies_of_training_images_are_told() -> None:
    assert copies(copied(0.74, 0.64, 0.0)) == (
        "74.0\u00a0% of the images are nearer to training images than real ones are: probably copies of them"
    )
    assert copies(copied(0.74, None, 0.0))
    assert copies(copied(0.04, 0.02, 0.0)) == "", "as few as the gate allows"
    assert copies(copied(0.1, 0.02, 0.03)) == "", "perhaps by chance"
    assert copies(copied(0.74, 0.64, 0.0, "meaningless")) == copies({}) == ""
    family = generated("vae", 0.6, 5.0)
    family.metrics |= copied(0.74, 0.64, 0.0)
    (group,) = leaderboard.groups([family])
    assert [one.sentence for one in group.copies] == [copies(family.metrics)]
    assert f"{copies(family.metrics)}." in model_card(DATA, family)


def test_a_judge_of_few_steps_is_told(store, runs) -> None:
    assert brief("classifier", None, 100) == brief("classifier", 400, 100) == brief("inception", 9, 100) == ""
    sentence = (
        "The classifier network that judges was trained in 200 steps, fewer than the usual 400: its values "
        "compare only with those of as many steps."
    )
    assert brief("classifier", 200, 100) == sentence
    family = generated("vae", 0.6, 5.0)
    family.metrics["recall"].extractor = "classifier"
    assert sentence in model_card(DATA, family, extractor_steps=200)
    assert "fewer than the usual" not in model_card(DATA, family)
    html = store.read_text(build_run(store, runs["done"]))
    assert "fewer than the usual" not in html
    run = store.read_json(f"runs/{runs['done']}/run.json")
    run["lineage"]["config"]["evaluate"] = {"extractor_steps": 200}
    store.write_json(f"runs/{runs['done']}/run.json", run)
    assert "was trained in 200 steps, fewer than the usual 496" in store.read_text(
        build_run(store, runs["done"])
    )


def test_how_good_images_are_is_said_in_words_by_the_worst_measure() -> None:
    def metrics(precision: float, recall: float, distance: float) -> dict[str, MetricResult]:
        shares = {"precision": (precision, 0.8), "recall": (recall, 0.8), "frechet_distance": (distance, 2.0)}
        return {name: MetricResult(value=a, real_baseline=b) for name, (a, b) in shares.items()}

    assert in_words(metrics(0.76, 0.3, 2.2)) == (
        "the images are not as good as real ones: 30.0\u00a0% of real images lie among them (80.0\u00a0% "
        "among other real ones), though their Fréchet distance is 1.1 times that of real images and "
        "76.0\u00a0% of them lie among real images (80.0\u00a0% of other real ones do)"
    )
    assert "about as good as real ones" in in_words(metrics(0.9, 0.7, 2.2))
    blurred = in_words(metrics(0.9, 0.8, 4.0))  # such images have a high precision
    assert blurred.startswith("the images are not as good as real ones: their Fréchet distance is 2.0 times")
    assert ", though" not in in_words(metrics(0.1, 0.1, 9.0))
    kid = {"kid": MetricResult(value=0.193, real_baseline=-0.0623)}
    assert in_words(metrics(0.9, 0.7, 2.2) | kid).endswith(
        "; their KID is 0.193, that of other real ones -0.0623"
    )
    assert "much worse" in in_words(metrics(0.9, 0.0, 2.0))
    assert in_words({"precision": MetricResult(value=0.9, real_baseline=0.8)}) == ""


def test_more_precision_than_real_images_is_explained(store, runs) -> None:
    """Blurs near a few real images have more precision than real images, whose neighbours are further."""

    def precise(precision: float, density: float = 0.5) -> FamilyResult:
        blurs = generated("vae", 0.1, 4.0, precision)
        blurs.metrics["density"] = metric(density, "higher")
        for name, real in (("precision", 0.81), ("density", 0.7)):
            blurs.metrics[name] = blurs.metrics[name].model_copy(update={"real_baseline": real})
        return blurs

    blurs, usual = precise(0.937, 0.9), precise(0.89)
    sentence = crowded(blurs.metrics)
    assert sentence.startswith(
        "Precision is 93.7\u00a0%, that of real images 81.0\u00a0%; density is 0.900, that"
    )
    assert sentence.endswith("look at recall and coverage") and crowded(usual.metrics) == ""
    assert crowded({}) == "" and crowded(generated("vae", 0.1, 4.0).metrics) == "", "real images unknown"
    (group,) = leaderboard.groups([blurs, usual])
    assert [note.sentence for note in group.crowded] == [sentence]
    assert f"{sentence}.\n" in model_card(DATA, blurs) and "crowd" not in model_card(DATA, usual)
    run = store.read_json(f"runs/{runs['done']}/run.json")
    result = next(r for r in run["results"] if "precision" in r["metrics"])
    result["metrics"]["precision"] |= {"value": 0.9, "real_baseline": 0.6}
    store.write_json(f"runs/{runs['done']}/run.json", run)
    assert "Precision is 90.0" in store.read_text(build_run(store, runs["done"]))
