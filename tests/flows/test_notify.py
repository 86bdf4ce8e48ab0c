"""What is told of runs, to whom, and that no address is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.common.errors import InputError
from components.common.loopback import free_port
from components.common.public import without_secrets
from components.config import loading
from components.records.gate import Judgement, ModelReference, Verdict
from components.records.run import DataLineage, Lineage, RunManifest, StageEntry
from flows import notify, record
from flows.notify import CHAMPION, FAILED, REVIEW, UNHEALTHY


class Receiver(HTTPServer):
    """A web hook on loopback, which keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Hook)


class Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def judgement(**content: Any) -> Judgement:
    return Judgement(
        data_set="digits",
        task="generate",
        data="0123.dir",
        quality=Verdict(),
        export=Verdict(),
        model=ModelReference(run_id="run1", family="vae", folder="", files=[]),
        **content,
    )


def run(**content: Any) -> RunManifest:
    stages = [
        StageEntry(name="train", family="vae", state="ran", events=2),
        StageEntry(name="train", family="gan", state="cached", events=3),
        StageEntry(name="train", family="dcgan", state="failed", error="the loss is not finite"),
        StageEntry(name="gate", state="ran"),
    ]
    lineage = Lineage(data=DataLineage(name="digits"))
    made = {"run_id": "run1", "status": "partial", "lineage": lineage, "stages": stages}
    return RunManifest(**made | content)


def test_a_run_tells_of_what_it_did_itself() -> None:
    sentences = {one.kind: one.sentence for one in notify.notifications(run())}
    assert sentences == {
        FAILED: "run run1 on digits ended with status partial: train dcgan: the loss is not finite",
        UNHEALTHY: "run run1 on digits: train vae had 2 diagnoses of its health",
    }
    assert not list(notify.notifications(run(status="done", stages=[])))
    (failed,) = notify.notifications(run(status="failed", stages=[], error="no disk"))
    assert failed.sentence == "run run1 on digits ended with status failed: no disk"


def test_verdicts_are_told_of_once() -> None:
    gate = [judgement(number=3), judgement(expires="2026-01-02")]
    done = run(status="done").model_copy(
        update={"gate": gate, "stages": [StageEntry(name="gate", state="ran")]}
    )
    champion, review = notify.notifications(done)
    assert (champion.kind, review.kind) == (CHAMPION, REVIEW)
    assert champion.sentence == "run run1 on digits: vae is champion 3 of digits/generate"
    assert "`atelier promote run1 vae`" in review.sentence
    cached = done.model_copy(update={"stages": [StageEntry(name="gate", state="cached")]})
    assert not list(notify.notifications(cached))


def test_every_address_gets_the_sentence_and_one_that_fails_is_named_without_secrets(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"json://127.0.0.1:{receiver.server_port}/path?token=s3cret")
    calls: list[str] = []
    dead = f"json://user:s3cret@127.0.0.1:{free_port()}/token"
    with temporary_settings(restore_defaults=[PREFECT_API_URL]):
        notify.of_run(run(), ["$HOOK", dead], lambda text, style: calls.append(text))
    assert [one["title"] for one in receiver.got] == [
        "Atelier: a run failed",
        "Atelier: a training was unhealthy",
    ]
    assert "the loss is not finite" in receiver.got[0]["message"]
    assert calls == ["  json://*** could not be notified"] * 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://s3cret", r"notify: nonsense://\*\*\* is no URL that Apprise knows"),
        ("s3cret", r"notify: \*\*\* is no URL"),
        ("$NOT_SET_ANYWHERE", "notify: the environment variable NOT_SET_ANYWHERE is not set"),
    ],
)
def test_an_unknown_address_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        notify.check([url])
    assert "s3cret" not in str(refused.value)
    assert without_secrets(str(refused.value)) == str(refused.value), "the terminal shows all of the sentence"
    notify.check([])
    notify.check(["json://127.0.0.1/"])


def test_a_server_that_is_set_gets_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(notify, "emit_event", lambda kind, **_: events.append(kind))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        notify.of_run(run(), [], lambda *_: None)
    assert events == [FAILED, UNHEALTHY]


def test_no_record_has_an_address() -> None:
    experiment = loading.parse({"families": {"vae": {}}, "notify": ["slack://a/b/c"]}, "a config")
    assert "notify" not in record.redacted(experiment) and record.withheld(experiment) == []
