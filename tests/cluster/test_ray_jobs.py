"""The Jobs API of a cluster: who answers there, and how a job is submitted and followed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.cluster import ray_jobs
from components.cluster.ray_jobs import Job, RayJobs, check_version, is_loopback
from components.common.errors import InputError, RunError
from components.common.loopback import free_port


@contextmanager
def server(status: int, content: bytes) -> Iterator[str]:
    """A server that answers everything alike; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_a_cluster_of_this_version_or_one_that_wants_a_token_is_accepted() -> None:
    for status, content in ((200, json.dumps({"ray_version": version("ray")}).encode()), (401, b"token?")):
        with server(status, content) as address:
            check_version(address)


@pytest.mark.parametrize(
    ("status", "content", "match"),
    [
        (
            200,
            b'{"ray_version": "2.9.3"}',
            r"the cluster has Ray 2.9.3, and this machine \d.*; install",
        ),
        (200, b"<html>", "no Ray cluster answers there"),
        (200, b"[]", "no Ray cluster answers there"),
        (404, b"", "no Ray cluster answers there"),
    ],
)
def test_what_else_answers_is_one_sentence(status: int, content: bytes, match: str) -> None:
    with server(status, content) as address, pytest.raises(InputError, match=match) as error:
        check_version(address)
    assert str(error.value).startswith(address) and "\n" not in str(error.value)


def test_no_cluster_at_the_address_is_one_sentence() -> None:
    for address in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid:8265"):
        with pytest.raises(InputError, match="no Ray cluster answers there .*start the cluster"):
            RayJobs(address)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9000", True),
        ("ray://localhost:10001", True),
        ("[::1]:80", True),
        ("http://10.0.0.1:8265", False),
        ("https://s3.example.org", False),
    ],
)
def test_addresses_of_this_machine(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


class Client:
    """Ray's client of a cluster whose job has these states and logs at one look after another."""

    def __init__(self, *looks: tuple[str, str] | Exception | None):
        self.looks, self.log = list(looks), ""
        self.submitted: list[str] = []

    def list_jobs(self) -> list[Any]:
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        if look is None:
            return []
        state, self.log = look
        job = {"submission_id": "a-1", "start_time": 1, "driver_exit_code": 0, "message": None}
        return [SimpleNamespace(status=SimpleNamespace(value=state), **job)]

    def get_job_logs(self, name: str) -> str:
        return self.log

    def submit_job(self, **job: Any) -> None:
        self.submitted.append(job["submission_id"])
        raise RuntimeError("the answer got lost")


def connected(*looks: Any) -> RayJobs:
    jobs = RayJobs.__new__(RayJobs)
    jobs.address, jobs._client = "http://cluster:8265", Client(*looks)  # type: ignore[assignment]
    return jobs


def test_a_log_is_shown_once_over_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_jobs, "POLL", 0)
    looks = [
        ("PENDING", ""),
        ("RUNNING", "one\ntw"),
        ConnectionError("gone"),
        ("RUNNING", "one\ntwo\n"),
        ("FAILED", "one\ntwo\nthree"),
    ]
    lines: list[str] = []
    job = connected(*looks).follow("a-1", lines.append, lambda: False)
    assert lines == ["one", "two", "three"] and job is not None and job.ended and job.status == "FAILED"


def test_a_job_that_the_store_knows_to_have_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_jobs, "POLL", 0)
    job = connected(("RUNNING", "one\n")).follow("a-1", print, lambda: True)
    assert job is not None and job.status == "RUNNING"
    assert connected(ConnectionError("gone")).follow("a-1", print, lambda: True) is None
    assert connected(None).follow("a-1", print, lambda: False) is None, "a new cluster"


def test_a_job_that_has_arrived_is_submitted_although_the_answer_was_lost(tmp_path: Path) -> None:
    connected(("PENDING", "")).submit("a-1", "true", tmp_path, {})
    with pytest.raises(RunError, match="http://cluster:8265 did not accept the job .*the answer got lost"):
        connected(None).submit("a-1", "true", tmp_path, {})


def test_jobs_are_found_by_name_or_listed_by_the_beginning_of_it() -> None:
    looks = [("RUNNING", "")] * 4
    jobs = connected(*looks)
    assert [job.name for job in jobs.list("a-")] == ["a-1"] and jobs.list("b") == []
    result = jobs.find("a-1")
    assert result and result.status == "RUNNING" and result.age > 0 and jobs.find("a") is None
    assert [Job("x", status).ended for status in ("PENDING", "RUNNING", "STOPPED")] == [False, False, True]
