"""What people decide about champions, and what they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.registry import champions
from components.registry.decisions import decider, promote, reject, rollback
from components.store import Store
from tests.registry.judged import OF, champion, judgement, run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("ATELIER_USER", "ada")
    return Store(str(tmp_path / "store"))


def test_a_pending_result_is_promoted_by_a_person(store: Store) -> None:
    waits = judgement(store, "r1", expires="2999-01-01T00:00:00+00:00")
    assert waits.word == "PENDING"
    entry = promote(store, run("r1", waits), "vae", "looks right")
    assert (entry.number, entry.who, entry.why, entry.override) == (1, "ada", "looks right", False)
    assert entry.judgement == waits, "the entry keeps the numbers that it was decided on"
    assert champions.current(store, *OF) == entry
    with pytest.raises(InputError, match="r1/vae is champion 1 already"):
        promote(store, run("r1", waits), "vae", "")


def test_an_override_needs_a_reason_and_stays_visible(store: Store) -> None:
    judged = run("r1", judgement(store, "r1", failed="KID disagrees"))
    with pytest.raises(InputError, match="NOT BLESSED: KID disagrees; --override with --reason"):
        promote(store, judged, "vae", "")
    with pytest.raises(InputError, match="--override needs --reason TEXT"):
        promote(store, judged, "vae", " ", override=True)
    assert champions.current(store, *OF) is None, "nothing was written"
    assert promote(store, judged, "vae", "for the demonstration", override=True).override
    promote(store, run("r2", judgement(store, "r2", champion=1)), "vae", "")
    assert rollback(store, *OF, "again").override and [e.override for e in champions.history(store, *OF)] == [
        True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"status": "failed", "error": "no space left"}, "run r1 failed: no space left; only results of"),
        ({"status": "interrupted"}, "run r1 was interrupted; only results of finished runs"),
        ({"status": "running"}, "run r1 is running; only"),
        ({"gate": []}, "run r1 was not judged by the gate; run it again"),
        ({"smoke": True}, "is a smoke run"),
    ],
)
def test_runs_without_a_verdict_are_refused(store: Store, content: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        promote(store, run("r1", judgement(store, "r1"), **content), "vae", "x")
    assert champions.series(store) == []


def test_a_family_that_was_not_judged_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match=r"no result of 'vea' \(did you mean 'vae'\?\); judged: vae"):
        promote(store, run("r1", judgement(store, "r1")), "vea", "x")
    stages = [{"name": "train", "family": "gan", "state": "failed", "error": "diverged"}]
    with pytest.raises(InputError, match="r1/gan failed: diverged"):
        promote(store, run("r1", judgement(store, "r1"), stages=stages), "gan", "x")


def test_an_old_or_expired_verdict_is_refused(store: Store) -> None:
    champions.append(store, champion(store, 1, "r1"))
    with pytest.raises(InputError, match="judged against no champion, and the champion is 1 now"):
        promote(store, run("r2", judgement(store, "r2")), "vae", "x")
    old = judgement(store, "r2", champion=1, expires="2026-01-01T00:00:00+00:00")
    with pytest.raises(InputError, match="its review expired on 2026-01-01"):
        promote(store, run("r2", old), "vae", "x")


def test_a_rejected_model_is_not_promoted_without_an_override(store: Store) -> None:
    judged = run("r1", judgement(store, "r1"))
    with pytest.raises(InputError, match="give a reason with --reason"):
        reject(store, judged, "vae", "")
    reject(store, judged, "vae", "too blurred")
    weights = judged.gate[0].model.weights
    assert "rejected by ada on 20" in str(champions.decided_against(store, *OF, weights))
    with pytest.raises(InputError, match="it was rejected by ada on .*: too blurred"):
        promote(store, judged, "vae", "")
    with pytest.raises(InputError, match="rejected before, by ada: too blurred"):
        reject(store, judged, "vae", "again")
    assert promote(store, judged, "vae", "reconsidered", override=True).override
    with pytest.raises(InputError, match="is champion 1; `atelier rollback digits generate` replaces it"):
        reject(store, judged, "vae", "again")


def test_a_rollback_is_a_new_entry(store: Store) -> None:
    for number in (1, 2, 3):
        champions.append(store, champion(store, number, f"r{number}"))
    entry = rollback(store, *OF, "3 copies faces")
    assert (entry.number, entry.action, entry.restores) == (4, "rolled back", 2)
    assert (
        entry.model.address == "r2/vae"
        and store.read_json("registry/digits/generate/champion.json")["number"] == 4
    )
    weights = {c.model.run_id: c.model.weights for c in champions.history(store, *OF)}
    assert "rolled back by ada" in str(champions.decided_against(store, *OF, weights["r3"]))
    assert champions.decided_against(store, *OF, weights["r2"]) is None
    assert rollback(store, *OF, "2 too").model.address == "r1/vae"
    assert rollback(store, *OF, "3 was right", to=3).model.address == "r3/vae"
    assert champions.decided_against(store, *OF, weights["r3"]) is None
    assert len(champions.history(store, *OF)) == 6


def test_a_rollback_to_nothing_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="there is no champion of digits/generate"):
        rollback(store, *OF, "x")
    champions.append(store, champion(store, 1, "r1"))
    with pytest.raises(InputError, match="champion 1 of digits/generate is the first"):
        rollback(store, *OF, "x")
    with pytest.raises(InputError, match="--to 2: digits/generate has champions 1 to 1"):
        rollback(store, *OF, "x", to=2)
    with pytest.raises(InputError, match="--to 1: r1/vae is the champion now"):
        rollback(store, *OF, "x", to=1)
    champions.append(store, champion(store, 2, "r2"))
    store.delete(champions.history(store, *OF)[0].model.folder)
    with pytest.raises(InputError, match="config.json in .* is missing or has changed"):
        rollback(store, *OF, "x")
    assert len(champions.history(store, *OF)) == 2


def test_reasons_hold_no_credentials(store: Store) -> None:
    why = "see https://ada:secret@example.org/x"
    assert "secret" not in promote(store, run("r1", judgement(store, "r1")), "vae", why).why


def test_somebody_always_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_USER", raising=False)
    assert decider()
