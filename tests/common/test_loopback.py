"""Loopback never goes through a proxy, and what is remote still does."""

from __future__ import annotations

import os
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common import loopback

HOSTS = st.sampled_from(
    ["", "example.org", ".corp", "10.0.0.0/8", "localhost", "example.org, .corp", "127.0.0.1"]
)


@given(lower=st.none() | HOSTS, upper=st.none() | HOSTS, endpoint=st.sampled_from(["127.0.0.7", "127.1.2.3"]))
def test_what_the_user_excludes_stays_excluded(lower: str | None, upper: str | None, endpoint: str) -> None:
    given_names = {"no_proxy": lower, "NO_PROXY": upper, "AWS_ENDPOINT_URL": f"http://{endpoint}:9000"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given_names.items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://proxy.example:3128")
        for _ in range(2):
            loopback.bypass_proxies()
            entries = os.environ["no_proxy"].split(",")
            assert os.environ["NO_PROXY"] == os.environ["no_proxy"] and len(set(entries)) == len(entries)
        assert all(part.strip() in entries for text in (lower, upper) if text for part in text.split(","))
        for host in (*loopback.HOSTS[:3], endpoint):
            assert urllib.request.proxy_bypass(f"{host}:4200")
        assert not urllib.request.proxy_bypass("s3.example.com:443")
        assert urllib.request.getproxies()["http"] == "http://proxy.example:3128"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_on_this_machine_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert loopback.answers(f"{url}/well") and not loopback.answers(f"{url}/ill")
        server.shutdown()
    assert not loopback.answers(f"{url}/well")
