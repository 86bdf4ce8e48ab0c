"""What is written: whole, escaped, self-contained pages, whatever state the store is in."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.records.evaluation import Checkpoint, Evaluation
from components.records.training import Selection, WarmStart
from components.report import (
    build,
    build_index,
    build_run,
    checkpoints,
    formatting,
    index_page,
    leaderboard,
    pull,
)
from components.report.metric_labels import MEASURES, features, limit, main, measure, recipe
from components.report.model_card import model_card
from components.report.reading import curves, read_course
from components.report.results import cost_at, read_run
from components.store import Store
from components.training.result import selected_by
from tests.report import fixture
from tests.report.fixture import HOSTILE

VOID = {"meta", "link", "br", "img", "input", "hr", "source"}


class Page(HTMLParser):
    """Checks that elements nest, and keeps what the tests ask about."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.scripts = [], [], "", []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text += data

    @property
    def data(self):
        return json.loads(next(s for s in self.scripts if s.strip()))


def page(store, rel):
    return Page(store.read_text(rel))


@pytest.fixture(params=["done", "partial", "running", "ward"])
def built(request, store, runs):
    return build_run(store, runs[request.param])


def test_run_page_is_self_contained(store, built):
    html, folder = page(store, built), built.removesuffix("index.html")
    for tag, attributes in html.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), (
            tag,
            attributes,
        )
        for name in ("src", "href"):
            link = attributes.get(name, "")
            assert not re.match(r"[a-z]+:|//", link) or link == "data:,", link
            if link and not link.startswith(("#", "..", "data:")):
                assert store.exists(folder + link), link
    for script in [a["src"] for tag, a in html.tags if tag == "script" and "src" in a]:
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", store.read_text(folder + script)), script
    assert "url(" not in store.read_text(f"{folder}atelier.css") and "@import" not in store.read_text(
        f"{folder}atelier.css"
    )


def test_run_page_has_a_strict_policy(store, built):
    policies = [
        a["content"] for tag, a in page(store, built).tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [build.POLICY]
    assert "unsafe" not in build.POLICY and build.POLICY.startswith("default-src 'none'")


def test_every_image_named_is_there(store, built):
    inline, folder = page(store, built).data, built.removesuffix("index.html")
    grids = [grid["src"] for family in inline["families"] for grid in family["samples"]["grids"]]
    events = [
        event for family in inline["families"] for event in (family["health"] or {"events": []})["events"]
    ]
    assert grids
    for src in [*grids, *(e["picture"] for e in events if e["picture"]), inline["real"]["src"]]:
        assert store.read_bytes(folder + src)[8:12] == b"WEBP"


def test_hostile_strings_stay_text(store, runs):
    rel = build_run(store, runs["partial"])
    raw, html = store.read_text(rel), page(store, rel)
    assert HOSTILE not in raw
    assert raw.count("<script") == 12  # ours, and the data
    assert HOSTILE in html.text  # and yet it is shown, as it was written
    assert html.data["classes"][-1] == HOSTILE
    assert f"{HOSTILE}––0.100" in html.text  # a class of that name
    assert store.read_text(rel.replace("index.html", "config.yaml")).count(HOSTILE) == 1


def test_inlined_json_cannot_end_its_element():
    value = {"</script><!--": "<&>\u2028\u2029\u00e9"}
    raw = build.inline(value)
    assert not set("<>&\u2028\u2029") & set(raw)
    assert json.loads(raw) == value


def test_script_builds_no_markup_from_data():
    script = "".join(path.read_text() for path in (build.HERE / "static").glob("*.js"))
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
        "XMLHttp",
    ):
        assert way not in script, way


def test_verdict_names_leader_of_each_task(store, runs):
    text = page(store, build_run(store, runs["done"])).text
    assert "All 4 families finished." in text
    assert (
        "Generating: diffusion leads with Fréchet distance 9.61 (real images 1.83), ahead of dcgan with 14.2."
        in text
    )
    assert "Reconstructing: autoencoder reaches Fréchet distance 2.40 (perfect 0)." in text


def test_failure_is_told_in_one_sentence(store, runs):
    text = page(store, build_run(store, runs["partial"])).text
    assert "dcgan failed" in text and "1 stage failed" in text
    assert "was not finite at step 431" in text and "trace" not in text


def test_incomparable_numbers_are_grey_and_never_lead(store, runs):
    rel = build_run(store, runs["partial"])
    assert "different number of images (256, not 1,000)" in page(store, rel).text
    assert 'class="n off"' in store.read_text(rel)
    assert "vae leads" in page(store, rel).text  # though 9.9 < 30.1


def test_half_finished_run_shows_what_there_is(store, runs):
    html = page(store, build_run(store, runs["running"]))
    assert "Still running: 0 of 4 families evaluated so far." in html.text
    by_name = {family["name"]: family for family in html.data["families"]}
    assert (
        by_name["dcgan"]["curves"]["step"][-1] < 750
        and by_name["dcgan"]["samples"]["grids"][-1]["step"] == 750
    )
    assert by_name["diffusion"]["samples"]["grids"] == [] and by_name["diffusion"]["state"] == "waiting"


def test_a_training_that_has_not_ended_tells_its_steps(store, runs):
    manifest = f"runs/{runs['running']}/run.json"
    run = store.read_json(manifest)
    (stage,) = [s for s in run["stages"] if s["name"] == "train" and s["family"] == "dcgan"]

    def steps():
        html = page(store, build_run(store, runs["running"]))
        return {family["name"]: family["steps"] for family in html.data["families"]}

    store.delete(f"{stage['uri']}/spec.json")
    assert steps() == {"autoencoder": None, "vae": None, "dcgan": 1000, "diffusion": 1000}, "the config"
    run["lineage"]["config"]["families"]["dcgan"] = {"train": {"steps": 1500}}
    store.write_json(manifest, run)
    assert steps()["dcgan"] == 1500, "the family's own settings"
    store.write_json(f"{stage['uri']}/spec.json", {"settings": {"train": {"steps": 2000}}})
    stage |= {"state": "failed", "error": "interrupted"}
    store.write_json(manifest, run | {"status": "interrupted"})
    assert steps()["dcgan"] == 2000, "the spec of the training"


def test_a_finished_training_tells_the_shape_of_its_grids(store, runs):
    families = page(store, build_run(store, runs["done"])).data["families"]
    assert {(f["samples"]["count"], f["samples"]["resolution"]) for f in families} == {(64, 28)}


def test_a_recipe_that_columns_share_is_said_once(store, runs):
    text = page(store, build_run(store, runs["done"])).text
    assert (
        text.count("features of classifier 5f0c2b9e, n = 1,000, test split") == 3
    )  # generating, two of pairs


def test_torn_last_part_loses_only_its_torn_line(store, runs):
    rows = read_course(store, "store/train/dcgan75000000000/attempts/1").rows
    assert [row["step"] for row in rows] == list(range(1, 741, 10))[: len(rows)] and len(rows) == 74


@pytest.mark.parametrize("junk", [b"", b"{", b"\xff\xfe\x00", b'[1]\nnull\n7\n{"step": "x"}\n'])
def test_any_part_may_be_rubbish(store, runs, junk):
    store.write_bytes("store/train/dcgan75000000000/attempts/1/metrics/part-0000751-0001000.jsonl", junk)
    store.delete("store/train/vae1000000000000/attempts/1/result.json")
    build_run(store, runs["running"])


def test_replayed_rows_replace_what_they_repeat(store):
    store.write_text(
        "a/metrics/part-0000001-0000020.jsonl", '{"step": 10, "p/x": 1}\n{"step": 20, "p/x": 1}\n'
    )
    store.write_text(
        "a/metrics/part-0000011-0000030.jsonl", '{"step": 20, "p/x": 2}\n{"step": 30, "p/x": NaN}\n'
    )
    rows = read_course(store, "a").rows
    assert [(row["step"], row["p/x"]) for row in rows[:2]] == [(10, 1), (20, 2)]
    assert curves(rows).series["p/x"] == [1, 2, None]


def test_long_curves_are_thinned_to_means():
    rows = [{"step": i, "seconds": i / 10, "p/x": float(i)} for i in range(1, 10_001)]
    thin = curves(rows, most=100)
    assert thin.every == 100 and len(thin.step) == 100
    assert thin.series["p/x"][0] == 50.5 and thin.step[-1] == 10_000


def test_empty_manifest_makes_a_page(store):
    store.write_json("runs/r1/run.json", {"run_id": "r1", "status": "interrupted"})
    assert (
        "The run was interrupted with 0 of 0 families evaluated." in page(store, build_run(store, "r1")).text
    )


@pytest.mark.parametrize("name", ["nothing", "../other", "/etc", "a\nb"])
def test_unknown_run_is_refused(store, name):
    with pytest.raises(InputError):
        build_run(store, name)


def test_index_with_no_runs_says_how_to_start(store):
    assert "atelier run" in page(store, build_index(store)).text
    assert store.read_json("index.json")["runs"] == []


def test_index_lists_newest_first_and_unreadable_ones(store, runs):
    store.write_text("runs/20261101-000000-torn/run.json", '{"run_id":')
    build_index(store)
    lines = store.read_json("index.json")["runs"]
    assert [line["status"] for line in lines][-1] == "unreadable"
    assert [line["started"] for line in lines[:3]] == sorted(
        (line["started"] for line in lines[:3]), reverse=True
    )
    partial = next(line for line in lines if line["status"] == "partial")
    assert partial["failed"] == ["dcgan"] and {b["family"] for b in partial["best"]} == {"vae", "autoencoder"}
    assert HOSTILE not in store.read_text("index.html")


FOREIGN = [
    {"stages": {"a": 1}},
    {"stages": ["x", 1, None, {"name": 3}]},
    {"results": ["x"]},
    {"results": {"a": 1}},
    {"results": [{"family": "vae", "metrics": {"kid": None}}]},
    {"results": [{"family": "vae", "metrics": {"kid": {"value": "x", "low": []}}}]},
    {"results": [{"family": "vae", "metrics": "x"}]},
    {"results": [{"family": ["vae"]}]},
    {"lineage": "x"},
    {"lineage": {"config": {"families": ["x"]}, "data": []}},
    {"lineage": {"config": 3, "data": {"name": 3}}},
    {"started": 3, "seconds": "x", "status": None, "smoke": "x"},
    {"run_id": 3},
    {"heartbeat": "noon"},
    [],
    3,
    None,
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_one_foreign_manifest_does_not_break_the_index(store, runs, foreign):
    content = {"run_id": "older"} | foreign if isinstance(foreign, dict) else foreign
    store.write_json("runs/older/run.json", content)
    store.write_text("runs/deep/run.json", "[" * 100_000)
    store.write_text("runs/notes.txt", "a file")
    build_index(store)
    lines = store.read_json("index.json")["runs"]
    assert {"older", "deep", "notes.txt"} <= {line["run_id"] for line in lines} and len(lines) > 3
    for name in ("older", "deep", "notes.txt"):
        store.delete(f"runs/{name}")


@pytest.mark.parametrize("count", [10, 100])
def test_the_index_is_built_at_the_same_cost_however_many_runs_have_ended(tmp_path, calls_of, count):
    store = Store(tmp_path)
    fixture.write_many(store, count)
    first = build_index(store) and store.read_json("index.json")
    store.write_json("runs/now/run.json", {"run_id": "now"})
    build_index(store, changed="now")
    calls = calls_of(store)
    build_index(store, changed="now")
    assert calls.call_count <= 5
    lines = store.read_json("index.json")["runs"]
    assert [line for line in lines if line["run_id"] != "now"] == first["runs"]


def test_only_runs_that_cannot_change_are_taken_from_the_index(tmp_path):
    store = Store(tmp_path)
    kinds = {"done": ("sweep", "done"), "swept": ("sweep", "interrupted"), "going": ("run", "running")}
    for run_id, (kind, status) in kinds.items():
        store.write_json(f"runs/{run_id}/run.json", {"run_id": run_id, "kind": kind, "status": status})
    build_index(store)
    for run_id in kinds:
        store.write_json(f"runs/{run_id}/run.json", {"run_id": run_id, "status": "partial"})

    def lines():
        return {line["run_id"]: line["status"] for line in store.read_json("index.json")["runs"]}

    build_index(store, changed="another")
    assert lines() == {"done": "done", "swept": "partial", "going": "partial"}
    build_index(store)
    assert set(lines().values()) == {"partial"}, "without a hint every record is read"


def test_index_of_a_thousand_runs_is_small(store):
    fixture.write_many(store, 1000)
    rel = build_index(store)
    assert store.size(rel) < 2_500_000
    assert len(page(store, rel).data["runs"]) == 1000


@pytest.mark.parametrize(
    ("value", "output"),
    [
        (0, "0"),
        (0.0, "0.00"),
        (9.614, "9.61"),
        (31.7, "31.7"),
        (1234.5, "1,234"),
        (0.000413, "0.000413"),
        (1e-7, "1.0e-07"),
    ]
    + [(None, "–"), (float("nan"), "not finite"), ("as it is", "as it is"), (True, "True")],
)
def test_numbers_read_well(value, output):
    assert formatting.number(value) == output


@pytest.mark.parametrize(
    ("seconds", "output"),
    [
        (0.42, "0.4 s"),
        (44.5, "45 s"),
        (99.6, "1 min 40 s"),
        (412.3, "6 min 52 s"),
        (11_100, "3 h 05 min"),
        (200_000, "2.3 days"),
    ],
)
def test_durations_read_well(seconds, output):
    assert formatting.duration(seconds) == output


def test_moments_are_in_utc():
    assert formatting.moment("2026-11-22T01:15:00+02:00") == "21 November 2026, 23:15 UTC"
    assert formatting.moment("2026-11-22T10:15:00") == "22 November 2026, 10:15 UTC"


def test_a_number_with_a_warning_does_not_rank():
    low, high = fixture.result("vae", 3.0), fixture.result("diffusion", 9.0)
    for result, kid in ((low, 0.5), (high, 0.1)):
        result.metrics["frechet_distance"].note = "mostly bias"
        result.metrics["kid"].value = kid
    assert leaderboard.leaders([low, high]) == [{"family": "diffusion", "metric": "kid", "value": 0.1}]
    assert leaderboard.groups([low, high])[0].columns[0].name == "kid"


def test_reconstructions_never_stand_among_generators():
    groups = leaderboard.groups([fixture.result("autoencoder", 1.0), fixture.result("vae", 3.0)])
    assert [[row.family for row in group.rows] for group in groups] == [["vae"], ["autoencoder"]]


# Numbers that can be trusted

LOWER = {
    "fid",
    "frechet_distance",
    "kid",
    "fid_infinity",
    "frechet_distance_infinity",
    "class_fid",
    "class_kid",
}
LOWER |= {
    "class_frechet_distance",
    "memorization_rate",
    "mse",
    "mae",
    "lpips",
    "reconstruction_fid",
    "reconstruction_frechet_distance",
    "reconstruction_kid",
}
HIGHER = {"precision", "recall", "density", "coverage", "inception_score", "classifier_score"}
HIGHER |= {"conditional_accuracy", "confident_rate", "cas", "psnr", "ssim"}


def group(*results):
    return leaderboard.groups(results)[0]


def cell(result, name):
    board = group(result)
    at = [column.name for column in board.columns].index(name)
    return board.rows[0].cells[at]


@pytest.mark.parametrize("name", sorted(LOWER | HIGHER))
def test_every_measure_is_explained_and_points_the_right_way(name):
    entry = MEASURES[name]
    assert entry.meaning[0].isupper() and entry.meaning.endswith(".") and entry.limit
    assert entry.better == ("higher" if name in HIGHER else "lower")


def test_a_calm_table_shows_one_accuracy_and_no_warning():
    names = leaderboard.metric_names([fixture.result("diffusion", 9.0).metrics])
    first = [
        "frechet_distance",
        "kid",
        "precision",
        "recall",
        "coverage",
        "conditional_accuracy",
        "memorization_rate",
    ]
    assert [n for n in names if n in main(names, set())] == first
    assert "cas" in main([n for n in names if n != "conditional_accuracy"], set())
    assert "recall" not in main(names, {"recall"})
    assert "frechet_distance" in main(names, set(names))  # something has to rank
    assert "unheard_of" in main(["kid", "unheard_of"], set())


def test_the_page_hides_what_the_calm_table_does_not_show(store, runs):
    tags = page(store, build_run(store, runs["done"])).tags
    heads = [a["class"] for tag, a in tags if tag == "th" and "data-better" in a]
    assert heads[:13] == ["n"] * 6 + ["n more", "n"] + ["n more"] * 5  # classification accuracy between
    rows = [a["class"] for tag, a in tags if tag == "td" and "data-sort" in a]
    assert [("more" in c.split()) for c in rows[:13]] == [("more" in c.split()) for c in heads[:13]]


def test_a_cell_has_its_unit_interval_and_bound():
    precision = cell(fixture.result("diffusion", 9.6), "precision")
    assert precision.text == "70.0\u00a0%" and precision.interval == "66.5 to 73.5"
    assert precision.bound == "real images" and precision.real_baseline == "76.4\u00a0%"
    assert cell(fixture.result("diffusion", 9.6), "kid").bound == "real images"
    assert cell(fixture.result("autoencoder", 2.0), "ssim").bound == "perfect"


def test_a_tooltip_has_the_whole_recipe():
    metric = fixture.judged("kid", 0.1, real_baseline=0.01)
    metric.recipe |= {"k": 3, "data_set": "mnist5k", "choice": 0, "originals": "0f" * 32}
    assert recipe(metric) == [
        ("features", "classifier 5f0c2b9e"),
        ("images", "1,000 against 500 real, test split"),
        ("data set", "mnist5k"),
        ("version of the data", "9e107d9d372b"),
        ("preparation", "as they are"),
        ("resize", "none"),
        ("rounding", "uint8, nearest even"),
        ("images at once", "64"),
        ("seeds", "image i from seed 1, i"),
        ("real images chosen by seed", "0"),
        ("k", "3"),
        ("originals", "0f0f0f0f0f0f"),
        ("interval by", "jackknife over 10 groups, 95 %"),
        ("comparability", "a" * 16),
    ]
    result = fixture.result("vae", 9.0)
    result.metrics["kid"] = metric.model_copy(update={"note": "few images"})
    detail = dict(cell(result, "kid").detail)
    assert detail["interval"] == "0.0950 to 0.105" and detail["real images"] == "0.01"
    assert detail["beware"] == "few images" and detail["seeds"] == "image i from seed 1, i"


def test_what_is_refused_is_said_once_for_each_reason():
    few, many = fixture.result("diffusion", 9.0, n=256), fixture.result("vae", 30.0)
    other = fixture.result("vae", 20.0).model_copy(update={"family": "gan"})
    few.metrics["recall"] = fixture.judged("recall", 0.5, recipe="c" * 16, extractor="rotation")
    refused = leaderboard.groups([few, many, other])[0].refused
    assert [r.family for r in refused] == ["diffusion", "diffusion"]
    sentences = [r.sentence for r in refused]
    assert any(
        s.startswith("Fréchet distance, KID, Precision, Coverage") and "(256, not 1,000)" in s
        for s in sentences
    )
    assert (
        "Recall is not comparable with the others: different extractor (rotation, not classifier)."
        in sentences
    )


def test_an_old_record_says_what_it_can():
    assert recipe(fixture.metric(0.1)) == [
        ("features", "classifier 5f0c2b9e"),
        ("images", "1,000, test split"),
        ("comparability", "a" * 16),
    ]
    assert features(fixture.metric(0.1, extractor=None)) == ""
    assert limit(measure("recall"), fixture.metric(0.1)) == ""


def test_old_records_make_a_page(store, runs):
    manifest = read_run(store, runs["done"])
    manifest.results = [fixture.old(result) for result in manifest.results]
    fixture.write_run(store, manifest)
    html = page(store, build_run(store, runs["done"]))
    ids = {a.get("id") for _, a in html.tags}
    assert "leaderboard" in ids and not {"neighbours", "h-checkpoints"} & ids
    assert "Class by class" not in html.text and "A ring" not in html.text
    assert "diffusion leads with Fréchet distance 9.61 (real images 1.83)" in html.text
    assert {family["kept"] for family in html.data["families"]} == {None}


def test_best_and_last_stand_side_by_side(store, runs):
    results = [fixture.result(*pair) for pair in (("autoencoder", 2.4), ("vae", 31.7), ("dcgan", 14.2))]
    rows = {row.family: row for row in checkpoints.checkpoints(results)}
    assert list(rows) == ["vae", "dcgan", "autoencoder"]  # tasks in the order of the leaderboards
    best, last = rows["dcgan"].best, rows["dcgan"].last
    assert best == ("750", "14.2", "13.5 to 14.9", "")
    assert last.step == "1,000" and last.text == "18.5" and rows["dcgan"].kept == "best"
    assert rows["vae"].best.instead == "is the last" and rows["vae"].last.text == "31.7"
    assert rows["autoencoder"].best.instead == "none selected"
    assert rows["dcgan"].why_not is None
    assert [checkpoints.kept_step(result) for result in results] == [1000, 1000, 750]
    assert "lowest Fréchet distance on 500 images of the validation split" in (
        page(store, build_run(store, runs["done"])).text
    )


def test_a_config_that_keeps_the_last_is_named_and_not_what_would_be_best():
    result = fixture.result("dcgan", 14.2)
    expected = (
        "the config (train.select: last); best: lowest Fréchet distance on 500 images of the validation split"
    )
    assert checkpoints.checkpoints([result])[0].selected_by == expected.partition("best: ")[2]
    result.kept = "last"
    assert checkpoints.checkpoints([result])[0].selected_by == expected, (
        "two are stored, and the last is kept"
    )
    del result.checkpoints["best"]
    assert "select" not in checkpoints.checkpoints([result])[0].selected_by
    settings = {"dcgan": {"train": {"select": "last"}}}
    assert checkpoints.checkpoints([result], settings)[0].selected_by == expected


def test_weights_that_are_not_selected_may_be_not_evaluated():
    result = fixture.result("dcgan", 14.2)
    result.checkpoints["last"] = Checkpoint(step=1000)
    row = checkpoints.checkpoints([result])[0]
    assert row.last == ("1,000", "not evaluated", "", "") and row.why_not is None


def test_checkpoints_judged_differently_say_so():
    result = fixture.result("dcgan", 14.2)
    result.checkpoints["last"] = Checkpoint(step=1000, metrics=fixture.generated(14.2, True, 256))
    assert "number of images (1,000, not 256)" in str(checkpoints.checkpoints([result])[0].why_not)


@pytest.mark.parametrize(
    ("how", "output"),
    [
        (None, "none: the last is kept"),
        (
            Selection(metric="kid", split="validation", n=500),
            "lowest KID on 500 images of the validation split",
        ),
        (Selection(metric="psnr"), "highest PSNR (dB)"),
    ],
)
def test_selection_in_words(how, output):
    assert checkpoints.selected_by(how) == output


def test_a_validation_loss_that_selects_is_read_as_it_is_written():
    trainer = SimpleNamespace(control=SimpleNamespace(best_step=200), selects_by_loss=True)
    how = selected_by(SimpleNamespace(selector=None), trainer, None)
    assert checkpoints.selected_by(how) == "lowest validation loss on the validation split"


def test_a_family_evaluated_since_the_record_was_written_is_shown(store):
    result = fixture.result("vae", 20.0)
    evaluated = Evaluation(**{name: getattr(result, name) for name in Evaluation.model_fields})
    store.write_json("store/evaluate/e0/attempts/1/result.json", {"evaluated": evaluated.to_json()})
    entry = fixture.stage("evaluate", "vae", "ran", 1.0, 2.0, uri="store/evaluate/e0")
    fixture.write_run(store, fixture.manifest("r9", "running", [entry], []))
    html = page(store, build_run(store, "r9"))
    assert "1 of 4 families evaluated so far. Generating: vae" in html.text


def test_the_worst_class_is_marked():
    (table,) = checkpoints.classes([fixture.result("dcgan", 14.2), fixture.result("vae", 20.0)])
    assert table.families == [("dcgan", 2)]
    assert [m.label for m in table.measures] == ["Label accuracy", "KID per class"]
    worst = {row.label for row in table.rows if row.cells[0].worst}
    assert worst == {row.label for row in table.rows if row.cells[1].worst} == {"6"}
    assert table.whole == ["94.5\u00a0%", "0.0203"]


def test_equal_classes_have_no_worst_and_a_missing_one_is_a_dash():
    result = fixture.result("vae", 20.0)
    result.metrics["kid"].classes = {"a": 0.5, "b": 0.5}
    result.metrics["recall"].classes = {"a": 0.5}
    (table,) = checkpoints.classes([result])
    assert not any(cell.worst for row in table.rows for cell in row.cells)
    assert [cell.text for cell in table.rows[1].cells] == ["0.500", "–"]


def test_neighbours_are_beside_the_page(store, runs):
    rel = build_run(store, runs["done"])
    html, folder = page(store, rel), rel.removesuffix("index.html")
    near = {family["name"]: family["neighbours"] for family in html.data["families"]}
    assert near["autoencoder"] is None
    for name, copy in (("samples", "published"), ("nearest", "nearest")):
        original = store.read_bytes(f"store/evaluate/{'vae':0<16}/{name}.webp")
        assert store.read_bytes(folder + near["vae"][copy]) == original
    assert near["dcgan"]["memorised"] and near["dcgan"]["closest"] == 2.4
    assert len(near["dcgan"]["distances"]) == near["dcgan"]["count"] == 100
    assert near["vae"]["share"].replace("\u00a0", " ") == (
        "1.5 % (1.1 to 2.0 %) of 1,000 samples memorised; 1.0 % of held-out real images come as close"
    )
    assert len({near[name]["nearest"] for name in ("vae", "dcgan", "diffusion")}) == 3


def test_a_sheet_that_is_gone_hides_its_neighbours_only(store, runs):
    store.delete(f"store/evaluate/{'vae':0<16}/nearest.webp")
    near = {f["name"]: f["neighbours"] for f in page(store, build_run(store, runs["done"])).data["families"]}
    assert near["vae"] is None and near["dcgan"]


def test_the_index_is_spared_recipes_and_secondary_measures(store, runs):
    rel = build_index(store)
    done = next(run for run in store.read_json("index.json")["runs"] if run["status"] == "done")
    metrics = done["results"][-1]["metrics"]
    assert "density" in metrics and not {"recipe", "classes", "interval"} & set(metrics["class_kid"])
    inline = page(store, rel).data
    measures = next(run for run in inline["runs"] if run["status"] == "done")["results"][-1]["metrics"]
    assert "density" not in measures and measures["memorization_rate"][0] == pytest.approx(0.0262, rel=1e-2)
    assert inline["measures"]["recall"] == ["Recall", True]


def test_model_card_says_what_was_measured_and_which_checkpoint():
    described = fixture.lineage().data.model_dump(exclude={"version", "hash"})
    about, result = DatasetCard(**described, source="the web"), fixture.result("dcgan", 14.2)
    card = model_card(about, result).replace("\u00a0", " ")
    assert "| Recall | higher | 57.2 % | 54.4 to 60.1 % | 77.1 % | 1,000 | classifier 5f0c2b9e |" in card
    assert "EMA weights of step 750, selected by lowest Fréchet distance on 500 images" in card
    assert "EMA weights of the last checkpoint, step 1,000." in model_card(
        about, result.model_copy(update={"kept": "last"})
    )
    assert "EMA weights." in model_card(about, fixture.old(result))
    pixels = model_card(about, fixture.result("autoencoder", 2.4))
    assert "| PSNR (dB) | higher | 19.3 | 18.3 to 20.3 |  | 1,000 |  |" in pixels


def test_a_model_card_and_a_page_say_what_a_training_began_with(store, runs):
    described = fixture.lineage().data.model_dump(exclude={"version", "hash"})
    about, result = DatasetCard(**described, source="the web"), fixture.result("dcgan", 14.2)
    assert "did not begin" not in model_card(about, result)
    layers = {"a": "taken", "b": "other shape"}
    initial = WarmStart(model="[r](x)/dcgan", sha256="0", layers=layers)
    result.train = result.train.model_copy(update={"initial": initial})
    sentence = r"It did not begin at random: 1 of 2 layers taken from \[r\](x)/dcgan; other shape: b."
    assert sentence in model_card(about, result)
    run = store.read_json(f"runs/{runs['done']}/run.json")
    assert "Initial weights" not in page(store, build_run(store, runs["done"])).text
    run["results"][0]["train"]["initial"] = initial.to_json()
    store.write_json(f"runs/{runs['done']}/run.json", run)
    assert f"{initial.sentence}." in page(store, build_run(store, runs["done"])).text


def test_a_model_card_has_no_link_image_or_markup_of_a_title():
    described = fixture.lineage().data.model_dump(exclude={"version", "hash"})
    title = r"[x](https://evil) ![](https://evil/y.png) \[z](u) <img src=q> `c` | d"
    about = DatasetCard(**described | {"title": title}, source="the web")
    card = model_card(about, fixture.result("dcgan", 14.2))
    assert r"\[x\](https://evil)" in card and r"!\[\](" in card and r"\\\[z\](u)" in card
    assert "<img" not in card and "`c`" not in card


def test_pulled_pages_have_all_that_they_name(store, runs, tmp_path):
    build_run(store, runs["done"])
    build_index(store)
    store.write_text(f"runs/{runs['done']}/large.bin", "not part of a page")
    index = pull(store, tmp_path / "pulled")
    for html in (index, index.parent / f"runs/{runs['done']}/report/index.html"):
        links = [a.get("href") or a.get("src") for _, a in Page(html.read_text()).tags]
        local = [link.partition("#")[0] for link in links if link and ":" not in link]
        missing = [link for link in local if not (html.parent / unquote(link)).exists()]
        assert [link for link in missing if "/runs/" not in f"/{link}"] == []
        assert {"atelier.css", "base.js"} <= set(local)
    assert (index.parent / "index.json").exists() and not list(index.parent.rglob("large.bin"))


@pytest.mark.s3
def test_the_pages_of_a_private_bucket_are_mirrored(bucket, tmp_path):
    store = Store(f"s3://{bucket}/store")
    store.write_json("runs/1/run.json", fixture.RunManifest(run_id="1", status="done").to_json())
    build_run(store, "1")
    build_index(store)
    index = pull(store, tmp_path / "pulled")
    assert Page(index.read_text()).text and (index.parent / "runs/1/report/index.html").exists()


def test_a_store_without_pages_has_nothing_to_pull(store, tmp_path):
    with pytest.raises(InputError, match="has no pages"):
        pull(store, tmp_path / "pulled")


def test_what_the_stages_have_written_is_summed_and_taken_over_stages_count_once(store, runs):
    lines = index_page.index_page(store)["runs"]
    manifest = read_run(store, runs["done"])
    ran = [stage for stage in manifest.stages if stage.state == "ran" and stage.name == "train"]
    total = index_page.written([line for line in lines if line["run_id"] == runs["done"]])
    (train,) = [stage for stage in total.stages if stage.stage == "train"]
    assert train.outputs == len(ran) and train.seconds == sum(stage.seconds for stage in ran)
    assert "prepare" not in {stage.stage for stage in total.stages}  # taken over from another run
    assert index_page.written([]) == (0, 0, [])


def test_samples_before_the_first_logged_row_have_no_time_and_snapshots_are_no_losses() -> None:
    rows = [{"step": 100, "seconds": 8.0, "images": 640, "D/loss": 1.0, "snapshot/kid": 0.1}]
    assert cost_at(rows, 0) == {"seconds": 0.0, "images": 0.0}
    assert cost_at(rows, 50) == {"seconds": None, "images": None}, "rows arrive after samples"
    assert cost_at(rows, 146) == {"seconds": 8.0, "images": 640.0}
    assert list(curves(rows).series) == ["D/loss"], "snapshots have a plot of their own"
