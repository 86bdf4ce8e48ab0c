"""The gate on a run's page: verdicts with their reasons, and the history of champions."""

import pytest

from components.records.gate import ModelFile
from components.registry import champions
from components.report import build_index, build_run, gate
from components.report.results import read_run
from flows.cli import inspect
from tests.report import verdicts
from tests.report.fixture import HOSTILE
from tests.report.test_pages import page
from tests.report.verdicts import GATED, OF


def test_verdicts_have_every_reason(store):
    run = read_run(store, verdicts.write_gated(store))
    best, sick, worse, other = gate.verdicts(run)
    assert [view.word for view in (best, sick, worse, other)] == ["BLESSED", *["NOT BLESSED"] * 3]
    assert best.outcome == "It became champion 4 and replaced 20261121-080000-aaaa/dcgan."
    assert {rule.state for rule in (*best.rules, *best.export)} == {"passed"} and not best.commands
    assert [rule.name for rule in sick.rules if rule.state == "failed"] == [
        "Better",
        "Second distance",
        "Training",
    ]
    assert other.export_word == "NOT BLESSED" and other.export[0].text.startswith(
        "It cannot be used: the weights"
    )
    assert {rule.text for rule in other.rules if rule.state == "idle"} == {"Not measured in this task."}
    assert worse.outcome == f"Champion 4 ({GATED}/diffusion) stays."


def test_a_gain_is_drawn_with_its_noise(store):
    best, _, worse, other = gate.verdicts(read_run(store, verdicts.write_gated(store)))
    assert best.gain.zero < best.gain.low < best.gain.at < best.gain.high < gate.WIDTH
    assert 0 < worse.gain.low < worse.gain.high < worse.gain.zero < gate.WIDTH and other.gain is None


def test_a_result_that_waits_says_how_to_decide(store):
    run_id = verdicts.write_gated(store, review=True)
    waits = gate.verdicts(read_run(store, run_id))[0]
    assert waits.word == "PENDING" and "until 11 December 2999" in waits.outcome
    assert waits.commands[0] == f"atelier promote {GATED} diffusion"
    text = page(store, build_run(store, run_id)).text
    assert all(command in text for command in waits.commands)


def test_the_index_and_the_list_of_runs_show_what_waits(store, capsys):
    run_id = verdicts.write_gated(store, review=True)
    best = read_run(store, run_id).gate[0]
    best.model.files = [ModelFile(path="model.safetensors", bytes=1, sha256="of the waiting one")]
    assert "Waiting for a decision" not in page(store, build_index(store)).text
    champions.request_review(store, best)
    output = page(store, build_index(store))
    assert "Waiting for a decision" in output.text and "PENDING" in output.text
    assert f"atelier promote {GATED} diffusion" in output.text and "11 December 2999" in output.text
    links = [attrs.get("href") for tag, attrs in output.tags if tag == "a"]
    assert f"runs/{GATED}/report/index.html#gate" in links
    inspect.runs(store=store.url)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(GATED)]
    assert row.endswith("PENDING diffusion")
    assert [view.outdated for view in gate.waiting(store)] == [False]
    champions.append(store, verdicts.entry(4, verdicts.judgement("20261123-080000-cccc", "vae", 9.1)))
    output = page(store, build_index(store)).text
    assert (
        "judge again with" in output and "--force gate" in output and f"atelier promote {GATED}" not in output
    )
    store.write_text("registry/mnist5k/generate/champions/3.json", "{")
    assert gate.waiting(store) == [], "a damaged history does not keep the index from being built"


def test_the_page_shows_the_history_and_what_was_overridden_for_ever(store):
    run_id = verdicts.write_gated(store)
    (history,) = gate.histories(store, read_run(store, run_id))
    assert [(e.number, e.is_current, e.override) for e in history.entries] == [
        (4, True, False), (3, False, False), (2, False, True), (1, False, False),
    ]  # fmt: skip
    assert [e.value for e in history.entries] == ["9.61", "16.4", "31.7", "16.4"]
    output = page(store, build_run(store, run_id))
    assert "Override" in output.text and "rolled back to 1" in output.text and HOSTILE in output.text
    assert "Not blessed: Fréchet distance 31.7 against 16.4" in output.text
    links = [attrs.get("href") for tag, attrs in output.tags if tag == "a"]
    assert "../../20261121-080000-aaaa/report/index.html" in links


def test_champions_are_listed_by_the_metric_that_ranks(store):
    judged = verdicts.judgement("20261121-080000-aaaa", "dcgan", 16.4)
    value = judged.metrics["frechet_distance"]
    for metrics, label in ((("mse", "reconstruction_fid"), "rFID"), (("kid",), "KID"), ((), "")):
        judged.metrics = dict.fromkeys(metrics, value)
        assert gate.measure(gate._first_metric(verdicts.entry(1, judged))).label == label


@pytest.mark.parametrize("damaged", ["", "{"])
def test_a_damaged_history_is_a_sentence_on_the_page(store, damaged):
    run_id = verdicts.write_gated(store)
    store.write_text(f"registry/{'/'.join(OF)}/champions/2.json", damaged)
    assert "champion 2 of mnist5k/generate cannot be read" in page(store, build_run(store, run_id)).text


def test_the_index_shows_the_standing_champions(store):
    run_id = verdicts.write_gated(store)
    (history,) = gate.histories(store, read_run(store, run_id))
    (standing,) = gate.standing(store)
    assert standing.champion == next(entry for entry in history.entries if entry.is_current)
    output = page(store, build_index(store))
    assert f"champion {standing.champion.number}," in output.text and standing.champion.family in output.text


def test_a_champion_shows_the_metric_by_which_it_was_judged(store):
    run_id = verdicts.write_gated(store)
    now = champions.current(store, *OF)
    now.judgement.metrics["frechet_distance"].note = "mostly bias"
    metric = now.judgement.metrics["kid"]
    champions.append(store, verdicts.entry(now.number + 1, now.judgement))
    (history,) = gate.histories(store, read_run(store, run_id))
    (standing,) = gate.standing(store)
    assert history.metric == standing.metric == "KID"
    assert history.entries[0].value == standing.champion.value == gate.measure("kid").show(metric.value)
    metric.note = "the extractor tells no classes"
    champions.append(store, verdicts.entry(now.number + 2, now.judgement))
    champion = gate.standing(store)[0].champion
    assert champion.value.endswith(" *") and champion.note == metric.note
    assert metric.note in page(store, build_index(store)).text
    assert metric.note in page(store, build_run(store, run_id)).text
