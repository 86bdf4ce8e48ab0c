"""What nothing refers to goes, the rest stays, and a removal that is cut off leaves a valid store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.records.run import RunManifest, StageEntry
from components.registry import champions, pins
from components.retention import remove, survey
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.store.lease import lease
from tests.registry.judged import champion

FILES = {"model/weights": b"w" * 50, "checkpoints/step-1.pt": b"c" * 1000, "ema/step-1": b"e" * 200}
UNFINISHED = ["checkpoints/step-1.pt", "samples/step-1.webp"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def spec(name: str, stage: str = "train", upstream: Mapping[str, str] | None = None) -> Spec:
    return Spec(stage, {"of": name}, {}, upstream or {}, family="vae")


def made(store: Store, of: Spec, *, force: bool = False, **result: Any) -> Done:
    def body(attempt: Store, number: int) -> Mapping[str, Any]:
        before = [path for path in attempt.find() if path != cache.BEGUN]
        assert before in ([], UNFINISHED), "all of an unfinished attempt, or nothing"
        for name, content in FILES.items():
            attempt.write_bytes(name, content)
        return result

    return cache.run(store, of, body, run_id="r", force=force)


def recorded(store: Store, run_id: str, *specs: Spec, **content: Any) -> None:
    stages = [
        StageEntry(name=s.stage, family=s.family, key=s.key, uri=s.uri, attempt=1, state="ran") for s in specs
    ]
    manifest = RunManifest(**{"run_id": run_id, "status": "done", "stages": stages} | content)
    store.write_json(f"runs/{run_id}/run.json", manifest.to_json())


def paths(found: survey.Survey) -> dict[str, str]:
    return {item.path: item.kind for item in found.items}


def reasons(found: survey.Survey) -> dict[str, str]:
    return {kept.path: kept.why for kept in found.kept}


def test_what_a_run_refers_to_stays_with_all_that_it_builds_on(store: Store) -> None:
    data = spec("data", "prepare")
    used = spec("used", upstream={"prepare": data.key})
    for each in (data, used, spec("unused")):
        made(store, each)
    recorded(store, "r1", used)
    found = survey.survey(store, days=0)
    assert paths(found) == {
        spec("unused").uri: "output",
        f"{used.uri}/attempts/1/checkpoints": "checkpoints",
        f"{used.uri}/attempts/1/ema": "checkpoints",
        f"{data.uri}/attempts/1/checkpoints": "checkpoints",
        f"{data.uri}/attempts/1/ema": "checkpoints",
    }
    assert reasons(found) == {used.uri: "run r1", data.uri: "run r1"}
    before = len(store.find())
    assert survey.survey(store, days=0).bytes == found.bytes and len(store.find()) == before, "it only looks"
    assert remove.collect(store, days=0) == found
    assert survey.survey(store, days=0).items == [] and not store.exists(spec("unused").uri)
    for each in (data, used):
        assert cache.finished(store, each) is not None, "its result is complete without checkpoints"


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


def test_only_superseded_attempts_go_from_a_result(store: Store) -> None:
    made(store, spec("a"))
    made(store, spec("a"), force=True)
    recorded(store, "r1", spec("a"))
    found = paths(survey.survey(store, days=0))
    assert found[f"{spec('a').uri}/attempts/1"] == "attempt"
    remove.collect(store, days=0)
    assert store.list(f"{spec('a').uri}/attempts") == ["2"] and cache.finished(store, spec("a"))


def test_what_is_new_unfinished_or_leased_stays(store: Store) -> None:
    made(store, spec("new"))
    store.write_text(f"{spec('unfinished').uri}/attempts/1/checkpoints/step-1.pt", "x")
    recorded(store, "r1", spec("unfinished"), status="interrupted")
    made(store, spec("held"))
    with lease(store, f"train-{spec('held').key}"):
        assert reasons(survey.survey(store, days=0)) == {
            spec("unfinished").uri: "run r1, unfinished: the same command resumes it",
            spec("held").uri: f"lease train-{spec('held').key}",
        }
    assert reasons(survey.survey(store, days=1))[spec("new").uri] == "made in the last 1 days"


def test_trials_of_a_sweep_that_can_be_resumed_keep_their_checkpoints(store: Store) -> None:
    trial = spec("one", "trial")
    made(store, trial)
    recorded(store, "r1", trial, kind="sweep", status="interrupted")
    assert paths(survey.survey(store, days=0)) == {}
    recorded(store, "r1", trial, kind="sweep", status="done")
    assert set(paths(survey.survey(store, days=0)).values()) == {"checkpoints"}


def test_nothing_is_removed_beside_a_run(store: Store) -> None:
    made(store, spec("unused"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    recorded(store, "r1", status="running", heartbeat=now)
    before = store.find("store")
    with pytest.raises(InputError, match="run r1 is running, so nothing was removed"):
        remove.collect(store, days=0)
    assert store.find("store") == before and survey.survey(store, days=0).running == ["r1"]


def test_a_run_waits_for_a_removal(store: Store) -> None:
    said: list[str] = []
    remove.wait_for_removal(store, lambda: said.append("x"))
    with lease(store, remove.LEASE, expires=1.0):
        pass
    remove.wait_for_removal(store, lambda: said.append("x"))
    assert said == [], "no removal is under way"


def test_a_record_that_cannot_be_read_stops_all(store: Store) -> None:
    made(store, spec("unused"))
    store.write_text("runs/r1/run.json", "{")
    with pytest.raises(InputError, match="the record of run r1 cannot be read, .* restore runs/r1/run.json"):
        remove.collect(store, days=0)
    assert cache.finished(store, spec("unused"))


class Cut(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", range(0, 14, 2))
def test_a_removal_that_is_cut_off_leaves_a_valid_store(
    store: Store, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of deletions, each output is whole, resumed as it was, or made again from nothing."""
    of = [spec("kept"), spec("unused")]
    for each in of:
        made(store, each)
    for name in UNFINISHED:
        store.write_text(f"{spec('part').uri}/attempts/1/{name}", "x")
    recorded(store, "r1", of[0])
    count, delete = [0], Store.delete

    def cut(self: Store, rel: str) -> None:
        if count[0] == at:
            raise Cut
        count[0] += 1
        delete(self, rel)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", cut)
        with suppress(Cut):
            remove.collect(store, days=0)
    assert cache.finished(store, of[0])
    for each in (of[1], spec("part")):
        made(store, each)
        assert cache.finished(store, each)
    remove.collect(store, days=0)
    assert not store.exists(of[1].uri) and not store.exists(spec("part").uri)
