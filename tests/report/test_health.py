"""What the page tells of a training's health: the course that counts, diagnoses in words, advice."""

import json

import pytest

from components.records.health import Monitoring
from components.report import build_run, health
from components.report.reading import curves, read_course
from tests.report import fixture
from tests.report.fixture import HOSTILE
from tests.report.test_pages import page

DCGAN, GAN = (f"store/train/{f'{family}watched':0<16}/attempts/1" for family in ("dcgan", "gan"))


def part(store, name, steps, attempt=1):
    rows = [{"step": step, "attempt": attempt, "p/x": attempt} for step in steps]
    store.write_text(f"a/metrics/{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def course(rows):
    return [(row["step"], row["attempt"]) for row in rows]


@pytest.fixture
def ward(store, runs):
    """The page of watched families, by family."""
    html = page(store, build_run(store, runs["ward"]))
    return html, {family["name"]: family for family in html.data["families"]}


# The course of a training


def test_a_treatment_gives_up_what_lies_beyond_it(store):
    part(store, "part-0000001-0000030", [10, 20, 30])
    part(store, "part-0000021-0000040-a2", [30, 40], 2)
    result = read_course(store, "a")
    assert course(result.rows) == [(10, 1), (20, 1), (30, 2), (40, 2)]
    assert {n: course(rows) for n, rows in result.given_up.items()} == {1: [(30, 1)]}


def test_a_treatment_counts_before_its_first_row(store):
    part(store, "part-0000001-0000030", [10, 20, 30])
    result = read_course(store, "a", {2: 10})
    assert course(result.rows) == [(10, 1)] and course(result.given_up[1]) == [(20, 1), (30, 1)]
    assert [result.has_reached(step) for step in (10, 20)] == [True, False]


def test_a_later_treatment_may_go_back_further(store):
    part(store, "part-0000001-0000040", [10, 20, 30, 40])
    part(store, "part-0000031-0000040-a2", [40], 2)
    part(store, "part-0000011-0000030-a3", [20, 30], 3)
    result = read_course(store, "a")
    assert course(result.rows) == [(10, 1), (20, 3), (30, 3)]
    assert {n: len(rows) for n, rows in result.given_up.items()} == {1: 3, 2: 1}
    assert [result.attempt_at(step) for step in (0, 10, 20, 40)] == [1, 1, 3, 3]


def test_an_untreated_training_has_reached_all_it_drew(store):
    part(store, "part-0000001-0000010", [10])
    assert read_course(store, "a").has_reached(500) and read_course(store, "nowhere").has_reached(0)


def test_vitals_stay_out_of_the_losses():
    rows = [{"step": 1, "p/x": 2.0, "health/auc": 0.5, "lr": 0.1}]
    assert list(curves(rows).series) == ["p/x", "lr"]


# What the page tells


def test_only_watched_families_have_health(ward):
    html, families = ward
    assert families["vae"]["health"] is None
    wards = [a["data-health"] for _, a in html.tags if "data-health" in a]
    assert wards == ["dcgan", "sngan", "gan"]


@pytest.mark.parametrize("status", ["done", "partial", "running"])
def test_a_run_without_a_doctor_says_nothing(store, runs, status):
    html = page(store, build_run(store, runs[status]))
    assert not {"health", "h-health"} & {a.get("id") for _, a in html.tags}
    assert {family["health"] for family in html.data["families"]} == {None}


def test_each_family_is_told_in_a_line(ward):
    html, families = ward
    sentences = {name: family["health"]["sentence"] for name, family in families.items() if family["health"]}
    assert sentences["sngan"] == "No diagnosis in 40 checks."
    assert sentences["dcgan"] == (
        "2 diagnoses in 62 checks: mode collapse and vanishing gradients. Treated twice."
    )
    assert sentences["gan"].endswith("Training was stopped.") and sentences["gan"].startswith(
        "1 diagnosis in 12 checks"
    )
    assert all(sentence in html.text for sentence in sentences.values())


def test_a_treatment_is_told_in_full(ward):
    html, families = ward
    first, second = families["dcgan"]["health"]["events"]
    assert first["evidence"] == [["diversity", "0.151"]]
    assert first["treatment"]["change"] == [["minibatch_discrimination", "0", "16"]]
    assert second["treatment"]["change"] == [["n_generator", "1", "2"]]  # the other was so already
    assert second["picture"] is None and first["seconds"] == pytest.approx(91)
    for sentence in ("Salimans et al. 2016", "step 400, as attempt 2", "starts again", "weights carry over"):
        assert sentence in html.text


def test_what_a_treatment_gave_up_stands_apart(ward):
    watched = ward[1]["dcgan"]["health"]
    assert watched["curves"]["step"] == list(range(25, 1001, 25))
    assert [(s["attempt"], s["step"][0], s["step"][-1]) for s in watched["given_up"]] == [
        (1, 425, 700),
        (2, 625, 850),
    ]
    assert (
        watched["curves"]["series"]["diversity"][-1] > 0.9 > watched["given_up"][0]["series"]["diversity"][-1]
    )


def test_advice_goes_by_vital():
    torn = {"p/x": [0, 1], "generator/grad_norm": [1], "discriminator/auc": 3}
    assert health.bands(Monitoring.read({"bands": fixture.BANDS | torn}).bands) == {
        "D(x)": [0.3, 0.7],
        "D(G(z))": [0.3, 0.7],
        "discriminator_loss": [0.5, 0.7],
        "generator_loss": [1.0, 2.0],
    }


def test_harm_in_a_diagnosis_stays_text(store, runs):
    rel = build_run(store, runs["ward"])
    html = page(store, rel)
    (event,) = next(f for f in html.data["families"] if f["name"] == "gan")["health"]["events"]
    assert HOSTILE not in store.read_text(rel) and f"Not finite {HOSTILE}" in html.text
    assert event["evidence"] == [["loss of D", "nan"], [HOSTILE, "inf"]]
    assert ".." not in event["picture"] and store.exists(f"runs/{runs['ward']}/report/{event['picture']}")


def test_a_picture_that_is_gone_hides_only_itself(store, runs):
    store.delete(f"{DCGAN}/health/event-1-0000700.webp")
    families = page(store, build_run(store, runs["ward"])).data["families"]
    assert [e["picture"] for e in families[0]["health"]["events"]] == [None, None]


@pytest.mark.parametrize(
    "junk", ["", "{", "[]", '{"step": 700}', '{"step": 700, "attempt": 1, "treatment": 3, "evidence": [1]}']
)
def test_any_note_of_health_may_be_rubbish(store, runs, junk):
    store.write_text(f"{GAN}/health/event-1-0000300.json", junk)
    store.write_text(f"{GAN}/health/watch.json", junk)
    build_run(store, runs["ward"])


def test_events_of_a_finished_training_need_no_files(store, runs):
    for event in ("event-1-0000700", "event-2-0000850"):
        store.delete(f"{DCGAN}/health/{event}.json")
    families = page(store, build_run(store, runs["ward"])).data["families"]
    assert len(families[0]["health"]["events"]) == 2


def test_a_grid_that_was_given_up_is_not_shown(store, runs):
    folder = f"{DCGAN}/metrics"
    store.delete(f"{folder}/part-0000601-0001000-a3.jsonl")  # the third attempt has only begun
    families = page(store, build_run(store, runs["ward"])).data["families"]
    grids = families[0]["samples"]["grids"]
    assert [grid["step"] for grid in grids] == [0, 50, 125, 250, 500]
    assert [("-a2-" in grid["src"]) for grid in grids] == [False] * 4 + [True]


def test_a_hundred_diagnoses_are_folded(store, runs):
    event = fixture.ended().model_copy(update={"action": "observed", "picture": None})
    fixture.write_events(store, GAN, [event.model_copy(update={"step": step}) for step in range(1, 101)])
    html = page(store, build_run(store, runs["ward"]))
    folded = [e for e in html.data["families"] if e["name"] == "gan"][0]["health"]["events"]
    assert len(folded) == 101 and "95 more" in html.text
    assert f"not finite {HOSTILE} (101 times)" in html.text
