"""What may be removed from a store, and what stays."""

from __future__ import annotations

from components.retention import remove, survey
from components.stages import cache
from components.store import Store
from components.store.lease import lease
from tests.retention.stores import made, paths, reasons, recorded, spec


def test_only_superseded_attempts_go_from_a_result(store: Store) -> None:
    made(store, spec("a"))
    made(store, spec("a"), force=True)
    recorded(store, "r1", spec("a"))
    result = paths(survey.survey(store, days=0))
    assert result[f"{spec('a').uri}/attempts/1"] == "attempt"
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
