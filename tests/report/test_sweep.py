"""What the page tells of a sweep: its trials, what won, what matters, and what is recommended."""

import re

import pytest

from components.records.sweep import Confirmation, Difference, Recommendation, SearchedHyperparameter
from components.records.trial import Trial
from components.report import build_index, build_run, sweep, sweep_plots, sweep_tables
from components.report.formatting import NONE
from components.report.metric_labels import measure
from tests.report import sweeps
from tests.report.fixture import HOSTILE
from tests.report.test_pages import page


def built(store, swept, **more):
    rel = build_run(store, sweeps.write(store, swept, **more))
    return rel, page(store, rel)


def rows_of(html) -> list[int]:
    return [int(a["data-trial"]) for tag, a in html.tags if tag == "tr" and "data-trial" in a]


@pytest.fixture(scope="module")
def swept():
    return sweeps.swept(16)


def test_a_sweep_has_a_section_and_a_line_in_the_index(store, runs, swept):
    rel, html = built(store, swept, against=sweeps.confirmation())
    assert "#sweep" in {a.get("href") for _, a in html.tags}
    scripts = [a["src"] for tag, a in html.tags if tag == "script" and "src" in a]
    assert scripts[:4] == ["base.js", "theme.js", "charts.js", "sweep.js"] and scripts[-1] == "run.js"
    assert store.exists(rel.replace("index.html", "sweep.js"))
    # what a sweep alone has not
    assert not {"leaderboard", "samples", "comparison", "training"} & {a.get("id") for _, a in html.tags}
    (drawn,) = html.data["sweeps"]
    assert [axis["name"] for axis in drawn["axes"]] == ["lr", "loss"] and len(drawn["trials"]) == 16
    other = page(store, build_run(store, runs["done"]))
    assert "sweep" not in {a.get("id") for _, a in other.tags} and other.data["sweeps"] == []
    assert {"leaderboard", "samples"} <= {a.get("id") for _, a in other.tags}
    lines = {run["run_id"]: run["kind"] for run in page(store, build_index(store)).data["runs"]}
    assert lines[sweeps.SWEEP] == "sweep" and lines[runs["done"]] == "run"


def test_it_is_told_in_sentences(store, swept):
    _, html = built(store, swept, against=sweeps.confirmation())
    won = swept.winner.number
    assert (
        "16 trials: 2 evaluated to the end, 12 stopped early, 1 collapsed and 1 failed. "
        f"Trial {won} won: lowest mean over 2 seeds. Against the default: no significant gain." in html.text
    )
    assert "2 trials side by side: 2 cores, 1 thread a trial." in html.text
    assert "a trial took 2.1\u00a0s on average, 4.0\u00a0s at most" in html.text
    assert "Fréchet distance of 256 images against the validation split; real images 0.4" in html.text
    assert "ASHA, after evaluation 2 and 4: the best 1 in 2 continue" in html.text
    assert "Difference −0.107 (−0.310 to +0.0900)" in html.text and "1,000 images, test split" in html.text


def test_trials_are_a_table_the_best_first_and_what_cannot_win_last(store, swept):
    _, html = built(store, swept)
    order = rows_of(html)
    by = {trial.number: trial for trial in swept.trials}
    lost = [n for n, trial in by.items() if trial.state in ("failed", "collapsed")]
    assert len(order) == 16 and set(order[-2:]) == set(lost)
    values = [by[n].value for n in order[:-2]]
    assert values == sorted(values)
    assert "loss G/score was not finite at step 12" in html.text and "2 health events" in html.text


def test_samples_stand_beside_the_page_with_their_size(store, swept):
    rel, html = built(store, swept)
    pictures = [a for tag, a in html.tags if tag == "img" and "/trial-" in a.get("src", "")]
    assert len(pictures) == 15  # the failed trial has none
    assert {(a["width"], a["height"], a["loading"], a["class"]) for a in pictures} == {
        ("112", "56", "lazy", "corner")
    }
    for picture in pictures:
        assert store.exists(rel.replace("index.html", picture["src"])) and picture["alt"].startswith(
            "Samples of"
        )


def test_pictures_may_be_gone(store, swept):
    _, html = built(store, swept, pictures=False)
    assert not [a for tag, a in html.tags if tag == "img"] and len(rows_of(html)) == 16


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("store/trial/ab12/attempts/1/samples/step-000800.webp", "samples/trial-ab12-1-step-000800.webp"),
        ("../../store/trial/ab12/attempts/1/samples/step-000800.webp", None),
        ("store/trial/../attempts/1/samples/step-000800.webp", None),
        ("store/trial/ab12/attempts/1/result.json", None),
        (None, None),
    ],
)
def test_only_pictures_of_trials_are_copied(path, name):
    assert sweep_tables.picture_copy(path) == name


def test_what_matters_comes_first_with_what_is_recommended(store):
    swept = sweeps.swept(60)
    _, html = built(store, swept)
    assert html.text.index("What matters") < html.text.index("Finalists") < html.text.index("Trials")
    assert "the share of the ranking of 59 trials, at the first rung, that it explains alone" in html.text
    (lr, loss) = swept.recommendations
    assert lr.says in html.text and loss.says in html.text and "Radford et al. 2016" in html.text
    first, second = sweep_tables.findings(swept)
    assert first.importance.value >= second.importance.value
    assert {row.space.name for row in (first, second)} == {"lr", "loss"}


def test_places_along_a_logarithmic_stretch():
    row = Recommendation(name="x", best_low=1e-3, best_high=1e-2, recommended=1.0)
    space = SearchedHyperparameter(name="x", low=1e-4, high=1.0, scale="log")
    assert sweep_tables.strip_of(space, row) == (25.0, 25.0, 100.0)
    assert sweep_tables.strip_of(space.model_copy(update={"low": 1.0}), row) is None
    assert sweep_tables.strip_of(space, Recommendation(name="x")) is None
    space = SearchedHyperparameter(name="x", low=0, high=4)
    row = Recommendation(name="x", best_low=1, best_high=3, recommended="x")
    assert sweep_tables.strip_of(space, row) == (25.0, 50.0, None)


def test_the_best_so_far_is_by_when_trials_ended():
    def ended(number, offset, value, **more):
        return Trial(number=number, offset=offset, seconds=5.0, cost=10.0, value=value, **more)

    trials = [
        ended(1, 20, 2.0),
        ended(2, 0, 3.0),
        ended(3, 10, None, state="failed"),
        ended(4, 30, 1.0, state="collapsed"),
        ended(5, 40, 1.5, state="running"),
    ]
    assert sweep_plots.spent(trials) == [(10, 2, 3, 3), (20, 3, None, 3), (30, 1, 2, 2), (40, 4, 1, 2)]


def test_while_it_runs_the_page_shows_what_is_there(store):
    swept = sweeps.swept(5)
    swept.settings.trials = 16
    changes = {"state": "running", "value": None, "cost": None, "seconds": 0.0, "picture": None}
    swept.trials[0] = swept.trials[0].model_copy(update=changes)
    _, html = built(store, swept, state="running")
    assert "5 of 16 trials so far" in html.text and "1 running" in html.text
    assert "is best so far: Fréchet distance" in html.text
    assert "The best trials are evaluated again when all have ended." in html.text
    assert "What matters" not in html.text and len(rows_of(html)) == 5


def test_before_the_first_trial_there_is_nothing_to_show(store):
    run_id = sweeps.write(store, sweeps.swept(1), state="running")
    store.delete("store/sweep/5ee9000000000000/attempts/1/progress.json")
    html = page(store, build_run(store, run_id))
    assert "No trial has started yet." in html.text and html.data["sweeps"][0]["trials"] == []


def test_a_failed_sweep_keeps_what_it_found(store):
    run_id = sweeps.write(store, sweeps.swept(5), state="running")
    run = store.read_json(f"runs/{run_id}/run.json")
    run["stages"][1] |= {"state": "failed", "error": "the data changed"}
    store.write_json(f"runs/{run_id}/run.json", run | {"status": "failed"})
    html = page(store, build_run(store, run_id))
    assert "the data changed" in html.text and len(rows_of(html)) == 5 and "so far" not in html.text


@pytest.mark.parametrize("count", [1, 200])
def test_one_trial_and_many(store, count):
    spaces = (sweeps.LR, sweeps.LOSS)
    swept = sweeps.swept(count, spaces, "none")
    swept.importance, swept.recommendations = None, []
    _, html = built(store, swept, pictures=False)
    assert len(rows_of(html)) == count
    tall = [a for tag, a in html.tags if tag == "div" and a.get("class") == "scroll tall"]
    assert len(tall) == 1 + (count > sweep.IN_VIEW)
    assert f"{count} trial{'s' * (count > 1)}: " in html.text


def test_a_winner_may_be_a_schedule(store):
    _, html = built(store, sweeps.population())
    assert "The winner is a schedule, and is trained with it." in html.text
    assert "From step 600" in html.text and "weights of trial" in html.text
    (drawn,) = html.data["sweeps"]
    assert drawn["scheduler"] == "pbt" and len(drawn["moves"]) == 6


def test_a_search_over_sampling_costs_what_sampling_costs(store):
    _, html = built(store, sweeps.sampling())
    (drawn,) = html.data["sweeps"]
    assert drawn["sampling"] and drawn["cost"]["name"] == "network evaluations an image"
    assert "sampling settings of one trained model" in html.text and "Finalists" not in html.text


def test_harm_in_a_sweep_stays_text(store):
    rel, html = built(store, sweeps.hostile())
    raw = store.read_text(rel)
    assert HOSTILE not in raw and raw.count("<script") == 13 and html.text.count(HOSTILE) > 30
    assert not [a for tag, a in html.tags if tag == "img"]
    for tag, attributes in html.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), tag
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)", store.read_text(rel.replace("index.html", "sweep.js"))
    )


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "{",
        '{"swept": 3}',
        '{"swept": {"trials": 1, "hyperparameters": {}, "finalists": [[]], "winner": 2}}',
    ]
    + ['{"swept": {"trials": [{"number": 1, "values": 3, "curve": 4, "schedule": 5}], "settings": [1]}}']
    + ['{"swept": {"trials": [{"number": 1}], "hyperparameters": [{"name": "x"}], "metric": "m", "cost": 2}}']
    + [
        '{"swept": {"finalists": [{"mean": 1}], "trials": [{"number": 1}], "winner": {"values": {"x": NaN}}}}'
    ],
)
def test_a_sweep_may_be_rubbish(store, junk):
    run_id = sweeps.write(store, sweeps.swept(1), against=sweeps.confirmation())
    store.write_text("store/sweep/5ee9000000000000/attempts/1/result.json", junk)
    store.write_text(
        "store/confirmation/d0e1000000000000/attempts/1/result.json", junk.replace("swept", "confirmation")
    )
    page(store, build_run(store, run_id))


def test_a_confirmation_without_all_its_numbers():
    distance = measure("frechet_distance")
    assert sweep_tables.confirmation_of(None, distance) is None
    assert sweep_tables.confirmation_of(Confirmation.read({"winner": ["x"]}), distance) is None
    changes = {"difference": Difference(), "default": [1.0]}
    table = sweep_tables.confirmation_of(sweeps.confirmation().model_copy(update=changes), distance)
    assert table.places == [] and [default for _, _, default in table.rows] == ["1.00", NONE, NONE]


def test_a_sweep_beside_other_stages_leaves_their_sections(store, runs, swept):
    run_id = sweeps.write(store, swept)
    own, done = (store.read_json(f"runs/{i}/run.json") for i in (run_id, runs["done"]))
    done["stages"].append(own["stages"][1])
    store.write_json(f"runs/{runs['done']}/run.json", done)
    html = page(store, build_run(store, runs["done"]))
    assert "All 4 families finished." in html.text and "16 trials:" in html.text
    ids = {a.get("id") for _, a in html.tags}
    assert {"sweep", "leaderboard", "samples", "training"} <= ids
