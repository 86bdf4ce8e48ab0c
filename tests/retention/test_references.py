"""What runs, champions, pins and results refer to."""

from __future__ import annotations

import pytest

from components.common.errors import InputError
from components.registry import champions, pins
from components.retention import remove, survey
from components.stages import cache
from components.store import Store
from tests.registry.judged import champion
from tests.retention.stores import made, paths, reasons, recorded, spec


def test_what_a_run_refers_to_stays_with_all_that_it_builds_on(store: Store) -> None:
    data = spec("data", "prepare")
    used = spec("used", upstream={"prepare": data.key})
    for each in (data, used, spec("unused")):
        made(store, each)
    recorded(store, "r1", used)
    result = survey.survey(store, days=0)
    assert paths(result) == {
        spec("unused").uri: "output",
        f"{used.uri}/attempts/1/checkpoints": "checkpoints",
        f"{used.uri}/attempts/1/ema": "checkpoints",
        f"{data.uri}/attempts/1/checkpoints": "checkpoints",
        f"{data.uri}/attempts/1/ema": "checkpoints",
    }
    assert reasons(result) == {used.uri: "run r1", data.uri: "run r1"}
    before = len(store.find())
    assert survey.survey(store, days=0).bytes == result.bytes and len(store.find()) == before, "it only looks"
    assert remove.collect(store, days=0) == result
    assert survey.survey(store, days=0).items == [] and not store.exists(spec("unused").uri)
    for each in (data, used):
        assert cache.finished(store, each) is not None, "its result is complete without checkpoints"


def test_all_runs_that_refer_to_a_result_are_named_if_they_are_few(store: Store) -> None:
    shared = spec("shared")
    made(store, shared)
    for number in range(1, survey.NAMED + 1):
        recorded(store, f"r{number}", shared)
    assert reasons(survey.survey(store, days=0)) == {shared.uri: "runs r1, r2, r3"}
    recorded(store, "r4", shared)
    surveyed = survey.survey(store, days=0)
    assert reasons(surveyed) == {shared.uri: "4 runs, the last r4"}
    assert surveyed.staying[-1].runs == ["r1", "r2", "r3", "r4"]


def test_champions_pins_reviews_and_results_keep_what_they_name(store: Store) -> None:
    pinned, of_sweep, trial = spec("pin", "extractor"), spec("search", "sweep"), spec("one", "trial")
    made(store, trial)
    made(store, of_sweep, swept={"trials": [{"uri": f"{trial.uri}/attempts/1"}]})
    made(store, pinned)
    exported = made(store, spec("model", "export"))
    pins.pin(store, "digits", "classifier-8", after=0, key=pinned.key, hash="h")
    entry = champion(store, 1, "r0")
    model = entry.model.model_copy(update={"folder": exported.uri})
    judgement = entry.judgement.model_copy(update={"model": model})
    champions.append(store, entry.model_copy(update={"judgement": judgement}))
    recorded(store, "r1", of_sweep, kind="sweep")
    store.delete("store/export/r0-vae")
    assert reasons(survey.survey(store, days=0)) == {
        pinned.uri: "pin 1 of digits/classifier-8",
        spec("model", "export").uri: "champion 1 of digits/generate",
        of_sweep.uri: "run r1",
        trial.uri: "run r1",
    }


def test_a_record_that_cannot_be_read_stops_all(store: Store) -> None:
    made(store, spec("unused"))
    store.write_text("runs/r1/run.json", "{")
    with pytest.raises(InputError, match="the record of run r1 cannot be read, .* restore runs/r1/run.json"):
        remove.collect(store, days=0)
    assert cache.finished(store, spec("unused"))
