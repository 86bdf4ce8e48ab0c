"""Decisions about champions, as the command line and deployments make them, on stored results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.records.run import RunManifest
from components.registry import champions
from components.store import Store
from flows import decide, schedule, views
from tests.flows.cli.test_app import call
from tests.registry.judged import OF, champion, judgement, run

WAITS = {"expires": "2999-01-01T00:00:00+00:00"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in which r1 is the champion, r2 waits, r3 is not blessed, and r4 failed."""
    monkeypatch.setenv("ATELIER_USER", "ada")
    store = Store(str(tmp_path / "store"))
    champions.append(store, champion(store, 1, "r1"))
    waits = judgement(store, "r2", champion=1, **WAITS)
    champions.request_review(store, waits)
    write(store, run("r1", champion(store, 1, "r1").judgement))
    write(store, run("r2", waits))
    write(store, run("r3", judgement(store, "r3", champion=1, failed="KID disagrees")))
    write(store, run("r4", status="failed", error="no space left"))
    return store


def write(store: Store, manifest: RunManifest) -> None:
    store.write_json(f"runs/{manifest.run_id}/run.json", manifest.to_json())


def test_a_result_that_waits_is_listed_and_promoted(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, listed, err = call(capsys, "champions", "--store", store.url)
    assert code == 0 and "r2/vae  until 2999-01-01" in listed and "PENDING" in listed
    assert err == "next: atelier promote r2 vae, or atelier reject r2 vae --reason TEXT\n"
    code, out, _ = call(capsys, "promote", "latest", "vae", "--store", store.url)
    assert code == 2 and out == "", "the latest failed"
    code, out, err = call(capsys, "promote", "r2", "vae", "--reason", "sharp", "--store", store.url)
    assert err == "next: atelier champions digits lists the history; atelier rollback digits undoes it\n"
    assert (code, out) == (0, "r2/vae is champion 2 of digits/generate (promoted)\n")
    page = store.read_text("runs/r2/report/index.html")
    assert "Champions of digits" in page and "sharp" in page and store.exists("index.html")
    _, listed, _ = call(capsys, "champions", "digits", "--json", "--store", store.url)
    content = json.loads(listed)
    assert [e["number"] for e in content["champions"]] == [2, 1] and content["waiting"] == []


def test_a_result_judged_against_an_earlier_champion_is_not_proposed(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    champions.append(store, champion(store, 2, "r9"))
    _, listed, err = call(capsys, "champions", "--store", store.url)
    assert "r2/vae  judge again: run --force gate" in listed and "promote" not in err


def test_an_override_and_a_rollback_stay_in_the_list(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    forced = ["--override", "--reason", "for the fair"]
    code, out, _ = call(capsys, "promote", "r3", "vae", *forced, "--store", store.url)
    assert code == 0 and "the gate had not blessed it, and the history shows this" in out
    code, out, _ = call(capsys, "rollback", "digits", "--reason", "the fair is over", "--store", store.url)
    assert code == 0 and "r1/vae is champion 3 of digits/generate (rolled back)" in out
    _, listed, _ = call(capsys, "champions", "--store", store.url)
    lines = listed.splitlines()
    assert "rolled back to 1" in lines[1] and "OVERRIDE" in lines[2] and "for the fair" in lines[2]


def test_a_rejected_result_waits_no_more(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "reject", "r2", "vae", "--reason", "blurred", "--store", store.url)
    assert (code, out) == (0, "r2/vae is rejected for digits/generate: blurred\n")
    assert champions.waiting(store, *OF) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote", "r4", "vae"], "run r4 failed: no space left; only results of finished runs"),
        (["promote", "r3", "vae"], "NOT BLESSED: KID disagrees; --override with --reason TEXT"),
        (["promote", "r3", "vae", "--override"], "--override needs --reason TEXT"),
        (["promote", "r2", "gan"], "run r2 has no result of 'gan'; judged: vae"),
        (["promote", "r9", "vae"], "there is no run 'r9'"),
        (["promote", "r1", "vae"], "r1/vae is champion 1 already"),
        (["reject", "r2", "vae"], "give a reason with --reason TEXT"),
        (["rollback", "digits"], "give a reason with --reason TEXT"),
        (["rollback", "digits", "--reason", "x"], "champion 1 of digits/generate is the first"),
        (["rollback", "emoji", "--reason", "x"], "no champion of emoji; there are: digits/generate"),
        (["rollback", "digits", "upscale", "--reason", "x"], "no champion of digits/upscale"),
        (
            ["rollback", "digits", "--to", "7", "--reason", "x"],
            "--to 7: digits/generate has champions 1 to 1",
        ),
    ],
)
def test_bad_decisions_are_one_sentence_and_change_nothing(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    before = {path: store.read_bytes(path) for path in store.find()}
    code, out, err = call(capsys, *arguments, "--store", store.url)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1
    assert {path: store.read_bytes(path) for path in store.find()} == before


def test_two_tasks_need_a_name(store: Store) -> None:
    other = champion(store, 1, "r1").judgement.model_copy(update={"task": "upscale"})
    champions.append(store, champion(store, 1, "r1").model_copy(update={"judgement": other}))
    with pytest.raises(InputError, match="digits has champions of 2 tasks; name one: generate, upscale"):
        decide.rollback(store, "digits", None, "x")


def test_an_empty_store_has_no_champions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "champions", "--store", str(tmp_path))
    assert code == 0 and "there is no champion yet" in out


def test_a_deployment_decides_with_typed_parameters(store: Store) -> None:
    schema = schedule.decided.parameters.model_dump()
    assert schema["properties"]["verdict"]["enum"] == ["promote", "reject"]
    assert schema["properties"]["override"]["type"] == "boolean"
    assert schema["required"] == ["run", "family", "verdict", "reason"]
    line = schedule.decided.fn("r2", "vae", "promote", "sharp", store=store.url)
    assert line == "r2/vae is champion 2 of digits/generate (promoted)"


def test_the_terminal_says_each_verdict(store: Store) -> None:
    promoted, waits = champion(store, 1, "r1").judgement, judgement(store, "r2", **WAITS)
    assert views.verdict(promoted) == "BLESSED: vae is champion 1 of digits/generate"
    assert views.verdict(waits) == (
        "PENDING: vae may become the champion of digits/generate until 2999-01-01: "
        "`atelier promote r2 vae`, or `atelier reject r2 vae --reason TEXT`"
    )
    refused = judgement(store, "r3", failed="KID disagrees")
    assert views.verdict(refused) == "NOT BLESSED: vae of digits/generate: KID disagrees"
    assert "keeps from being promoted" in views.verdict(judgement(store, "r3"))
    assert set(views.STYLES) == {promoted.word, waits.word, refused.word}
