"""What the page tells of other settings of sampling: plots, numbers, pictures; and of the loss by time."""

import pytest

from components.records.ablation import Ablation, Ablations, Variant
from components.records.evaluation import MetricResult
from components.report import ablation, build_run
from components.report.reading import curves, loss_by_noise
from tests.report import fixture
from tests.report.fixture import HOSTILE
from tests.report.test_pages import page


@pytest.fixture
def section(store, runs):
    """The page of a run with studies, and what it inlines of the family that has them."""
    html = page(store, build_run(store, runs["done"]))
    (family,) = [f for f in html.data["families"] if f["studies"]]
    return html, family


def test_only_families_with_studies_have_a_section(store, runs, section):
    html, family = section
    assert family["name"] == "diffusion"
    assert [a["data-study"] for _, a in html.tags if "data-study" in a] == ["diffusion", "diffusion"]
    assert "#ablations" in {a.get("href") for _, a in html.tags}
    other = page(store, build_run(store, runs["ward"]))
    assert not {"studies", "h-ablations"} & {a.get("id") for _, a in other.tags}
    assert "#ablations" not in {a.get("href") for _, a in other.tags}


def test_quality_is_plotted_against_what_changes(section):
    steps, guidance = section[1]["studies"]["studies"]
    distance, accuracy = steps["plots"]
    assert (distance["title"], distance["x"], distance["log"]) == ("KID", "steps", True)
    assert distance["real_baseline"] == 0.0004 and distance["bound"] == "real images"
    lines = {line["name"]: line["points"] for line in distance["lines"]}
    assert [x for x, _ in lines["ddim"]] == [4, 8, 16, 32, 64] == [x for x, _ in lines["heun"]]
    firsts = [lines[name][0][1] for name in ("ddim", "heun")]
    assert firsts == pytest.approx([24.5 / 880, 17 / 880], rel=1e-2)
    assert accuracy["better"] == "higher" and accuracy["title"].startswith("Label accuracy")
    assert accuracy["real_baseline"] == pytest.approx(97.8)
    assert not guidance["plots"][0]["log"] and [line["name"] for line in guidance["plots"][0]["lines"]] == [
        ""
    ]


def test_numbers_stand_in_a_table(section):
    html, family = section
    table = family["studies"]["studies"][0]["table"]
    labels = [column["label"] for column in table["columns"]]
    assert labels[0] == "KID" and "Fréchet distance" in labels  # what carries a warning comes last
    assert len(table["rows"]) == 10 and table["rows"][0]["name"] == "ddim 4"
    assert "Numbers from 250 images each" in html.text and "ddim 64" in html.text
    assert html.text.count("Beware: mostly bias: 250 images for 64 features") >= 2


def test_pictures_have_their_size_so_that_nothing_moves(store, runs, section):
    html, family = section
    pictures = [a for tag, a in html.tags if tag == "img" and "ablation-" in a.get("src", "")]
    assert len(pictures) == 10 + 4 + 2
    assert {(a["width"], a["height"]) for a in pictures} == {("560", "56"), ("560", "336")}
    for picture in pictures:
        assert picture["alt"] and store.exists(f"runs/{runs['done']}/report/{picture['src']}")
    assert [way["title"] for way in family["studies"]["ways"]] == [
        "From noise to images",
        "From images to noise",
    ]


def test_harm_in_a_study_stays_text(store, runs):
    rel = build_run(store, runs["partial"])
    html = page(store, rel)
    (family,) = [f for f in html.data["families"] if f["studies"]]
    (study,) = family["studies"]["studies"]
    assert HOSTILE not in store.read_text(rel) and f"{HOSTILE} 2" in html.text
    assert study["title"] == HOSTILE and [sheet["name"] for sheet in study["sheets"]] == [HOSTILE]
    assert all(".." not in sheet["src"] for sheet in study["sheets"]) and family["studies"]["ways"] == []


@pytest.mark.parametrize(
    "junk",
    ["", "{", '{"studied": 3}', '{"studied": {"studies": [1, {"name": "a", "title": "A", "variants": [2]}]}}']
    + ['{"studied": {"studies": [{}], "ways": [], "n": "x"}}'],
)
def test_a_study_may_be_rubbish(store, runs, junk):
    (stage,) = [
        s for s in store.read_json(f"runs/{runs['done']}/run.json")["stages"] if s["name"] == "ablation"
    ]
    store.write_text(f"{stage['uri']}/attempts/1/result.json", junk)
    page(store, build_run(store, runs["done"]))


def test_a_family_whose_study_failed_has_finished(store, runs):
    manifest = f"runs/{runs['done']}/run.json"
    run = store.read_json(manifest)
    (stage,) = [s for s in run["stages"] if s["name"] == "ablation"]
    store.delete(f"{stage['uri']}/attempts/1/result.json")
    stage |= {"state": "failed", "error": "no such setting"}
    store.write_json(manifest, run)
    html = page(store, build_run(store, runs["done"]))
    assert "All 4 families finished." in html.text and "no such setting" in html.text
    assert not [f for f in html.data["families"] if f["studies"]]


def test_a_study_without_numbers_on_an_axis_is_a_table():
    variants = [fixture.variant(name, 5.0, {}, "a.webp") for name in ("plain", "fancy")]
    assert ablation.plots("sampler", variants) == [] and len(ablation.table(variants).rows) == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ddim 4", ("ddim", 4.0)), ("1.5", ("", 1.5)), ("dpm++ 2m 16", ("dpm++ 2m", 16.0)), ("plain", None)]
    + [("ddim4", None), ("", None)],
)
def test_a_name_says_its_point(name, expected):
    assert ablation.point(name) == expected


# Settings that are better than the family's own

OWN = {"sampler": "heun", "sampler_steps": 12, "guidance_scale": 1.5}


def sampled(name, kid, *, low=None, high=None, note=None, frechet=None, real=-0.067, **change):
    """A variant that changes settings of sampling, with a KID and a doubtful Fréchet distance."""
    distance = MetricResult(value=10 * kid if frechet is None else frechet, note="mostly bias")
    metrics = {"kid": MetricResult(value=kid, low=low, high=high, note=note, real_baseline=real)}
    return Variant(name=name, change=change, metrics=metrics | {"frechet_distance": distance})


def heun(kid=3.35, steps=12, **more):
    return sampled(f"heun {steps}", kid, sampler="heun", sampler_steps=steps, **more)


def ancestral(kid=0.613, **more):
    return sampled("ancestral 50", kid, sampler="ancestral", sampler_steps=50, **more)


def better(*variants, settings=OWN):
    study = Ablation(name="steps", title="", variants=list(variants))
    return ablation.better_settings("diffusion", settings, Ablations(n=25, studies=[study]))


def test_settings_that_are_clearly_better_are_named():
    assert better(heun(steps=3), heun(), ancestral()) == (
        "diffusion has a KID of 0.613 with families.diffusion.sampler=ancestral "
        "families.diffusion.sampler_steps=50, but of 3.35 with the settings of this run (heun 12): the same "
        "weights on 25 images each; real images -0.067."
    )
    nearest = better(heun(9.0, steps=3), heun(steps=24), ancestral())
    assert "but of 3.35 with heun 24, the nearest variant, since none has the settings of this run" in nearest
    guided = sampled("5", 0.6, guidance_scale=5.0)
    assert "with families.diffusion.guidance_scale=5.0, but of 3.35" in better(heun(), guided)


@pytest.mark.parametrize(
    "variants",
    [
        (heun(), ancestral(1.9)),
        (heun(0.15, real=0.1), ancestral(0.02, real=0.1)),  # real images are as far off
        (heun(3.0, low=0.4, high=5.0), ancestral(0.6, low=0.1, high=1.5)),
        (heun(note="few images"), ancestral(note="few images")),
        (heun(), ancestral(frechet=40.0)),  # the other distance does not agree
        (heun(0.5), ancestral(3.0)),
        (heun(), sampled("unknown", 0.1, another=1)),
        (),
    ],
)
def test_settings_that_may_be_better_by_chance_are_not_named(variants):
    assert better(*variants) == ""


def test_the_section_begins_with_better_settings(store, runs):
    manifest = f"runs/{runs['done']}/run.json"
    run = store.read_json(manifest)
    run["lineage"]["config"]["families"]["diffusion"] = {"sampler": "ddim", "sampler_steps": 4}
    store.write_json(manifest, run)
    text = page(store, build_run(store, runs["done"])).text
    assert "diffusion has a KID of 0.00334 with families.diffusion.sampler=heun" in text
    assert "with the settings of this run (ddim 4)" in text


# The loss by share of noise


def test_the_loss_by_noise_is_one_plot(section):
    family = section[1]
    assert not [name for name in family["curves"]["series"] if "_t" in name]
    (curve,) = family["by_noise"]
    assert curve["phase"] == "denoise" and curve["noise"] == pytest.approx(
        [(k + 0.5) / 8 for k in range(8)], abs=1e-4
    )
    assert curve["loss"] == sorted(curve["loss"], reverse=True)
    assert curve["deviation"] == pytest.approx([loss / 3 for loss in curve["loss"]], rel=0.01)
    assert curve["steps"] == [901, 991]


def test_a_bucket_without_images_is_left_out():
    row = {"p/loss_t0": 1.0, "p/var_t0": 4.0, "p/noise_t0": 0.25, "p/loss_t7": float("nan")}
    rows = [{"step": s, **row} for s in range(3)]
    (curve,) = loss_by_noise(rows)
    assert (curve.loss, curve.deviation, curve.steps) == ([1.0, None], [2.0, None], [2, 2])
    assert curve.noise == [0.25, None]
    assert loss_by_noise([{"step": 1, "p/loss_total": 1.0}]) == []
    assert list(curves([{"step": 1, "p/loss_total": 1.0, "p/loss_t1": 2.0}]).series) == ["p/loss_total"]
