"""What is written: whole, escaped, self-contained pages, whatever state the store is in."""

import json
import re
from html.parser import HTMLParser

import pytest

from components.errors import InputError
from components.report import board, build, build_index, build_run, data, text
from tests.report import fixture
from tests.report.fixture import HOSTILE

VOID = {"meta", "link", "br", "img", "input", "hr"}


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


@pytest.fixture(params=["done", "partial", "running"])
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
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", store.read_text(f"{folder}atelier.js"))
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
    assert grids
    for src in [*grids, inline["real"]["src"]]:
        assert store.read_bytes(folder + src)[8:12] == b"WEBP"


def test_hostile_strings_stay_text(store, runs):
    rel = build_run(store, runs["partial"])
    raw, html = store.read_text(rel), page(store, rel)
    assert HOSTILE not in raw
    assert raw.count("<script") == 2  # ours, and the data
    assert HOSTILE in html.text  # and yet it is shown, as it was written
    assert html.data["classes"][-1] == HOSTILE
    assert store.read_text(rel.replace("index.html", "config.yaml")).count(HOSTILE) == 1


def test_inlined_json_cannot_end_its_element():
    value = {"</script><!--": "<&>\u2028\u2029\u00e9"}
    raw = build.inline(value)
    assert not set("<>&\u2028\u2029") & set(raw)
    assert json.loads(raw) == value


def test_script_builds_no_markup_from_data():
    script = (build.HERE / "static" / "atelier.js").read_text()
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
        "Generating: diffusion leads with Fréchet distance 9.61 (floor 1.83), ahead of dcgan with 14.2."
        in text
    )
    assert "Reconstructing: autoencoder reaches Fréchet distance 2.40 (floor 0)." in text


def test_failure_is_told_in_one_sentence(store, runs):
    text = page(store, build_run(store, runs["partial"])).text
    assert "dcgan failed" in text and "1 stage failed" in text
    assert "was not finite at step 431" in text and "trace" not in text


def test_incomparable_numbers_are_grey_and_never_lead(store, runs):
    rel = build_run(store, runs["partial"])
    assert "different number of images (256, not 1000)" in page(store, rel).text
    assert 'class="n off"' in store.read_text(rel)
    assert "vae leads" in page(store, rel).text  # though 9.9 < 30.1


def test_half_finished_run_shows_what_there_is(store, runs):
    html = page(store, build_run(store, runs["running"]))
    assert "Still running: 0 of 4 families judged so far." in html.text
    by_name = {family["name"]: family for family in html.data["families"]}
    assert (
        by_name["dcgan"]["curves"]["step"][-1] < 750
        and by_name["dcgan"]["samples"]["grids"][-1]["step"] == 750
    )
    assert by_name["diffusion"]["samples"]["grids"] == [] and by_name["diffusion"]["state"] == "waiting"


def test_torn_last_part_loses_only_its_torn_line(store, runs):
    rows = data.read_rows(store, "store/train/dcgan75000000000/attempts/1")
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
    rows = data.read_rows(store, "a")
    assert [(row["step"], row["p/x"]) for row in rows[:2]] == [(10, 1), (20, 2)]
    assert data.curves(rows)["series"]["p/x"] == [1, 2, None]


def test_long_curves_are_thinned_to_means():
    rows = [{"step": i, "seconds": i / 10, "p/x": float(i)} for i in range(1, 10_001)]
    thin = data.curves(rows, most=100)
    assert thin["every"] == 100 and len(thin["step"]) == 100
    assert thin["series"]["p/x"][0] == 50.5 and thin["step"][-1] == 10_000


def test_empty_manifest_makes_a_page(store):
    store.write_json("runs/r1/run.json", {"run_id": "r1", "status": "interrupted"})
    assert "The run was interrupted with 0 of 0 families judged." in page(store, build_run(store, "r1")).text


@pytest.mark.parametrize("name", ["nothing", "../other", "/etc", "a\nb"])
def test_unknown_run_is_refused(store, name):
    with pytest.raises(InputError):
        build_run(store, name)


def test_index_with_no_runs_says_how_to_start(store):
    assert "atelier run" in page(store, build_index(store)).text
    assert store.read_json("index.json") == {"schema": 1, "runs": []}


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


def test_index_of_a_thousand_runs_is_small(store):
    fixture.write_many(store, 1000)
    rel = build_index(store)
    assert store.size(rel) < 2_500_000
    assert len(page(store, rel).data["runs"]) == 1000


@pytest.mark.parametrize(
    ("value", "shown"),
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
def test_numbers_read_well(value, shown):
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.42, "0.4 s"),
        (44.5, "45 s"),
        (99.6, "1 min 40 s"),
        (412.3, "6 min 52 s"),
        (11_100, "3 h 05 min"),
        (200_000, "2.3 days"),
    ],
)
def test_durations_read_well(seconds, shown):
    assert text.duration(seconds) == shown


def test_a_number_with_a_warning_does_not_rank():
    low, high = fixture.result("vae", 3.0), fixture.result("diffusion", 9.0)
    for result, kid in ((low, 0.5), (high, 0.1)):
        result["metrics"]["frechet_distance"]["note"] = "mostly bias"
        result["metrics"]["kid"]["value"] = kid
    assert board.leaders([low, high]) == [{"family": "diffusion", "metric": "kid", "value": 0.1}]
    assert board.groups([low, high])[0]["columns"][0]["name"] == "kid"


def test_reconstructions_never_stand_among_generators():
    groups = board.groups([fixture.result("autoencoder", 1.0), fixture.result("vae", 3.0)])
    assert [[row["family"] for row in group["rows"]] for group in groups] == [["vae"], ["autoencoder"]]
