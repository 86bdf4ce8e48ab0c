"""A proxy in front of an S3 server that is away, slow, full or refuses some requests on demand."""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["none", "away", "slow", "refusing", "quota"]

SLOW = 0.5  # seconds added to each request
REFUSED = 0.1  # share of the requests
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"

QUOTA = b"<Error><Code>QuotaExceeded</Code><Message>The quota of the bucket is used up.</Message></Error>"


class FaultyS3(ThreadingHTTPServer):
    """Serves on a free port of the loopback interface; `fault` takes effect with the next request.

    Clients sign the proxy's host and port, which it passes on, so the signatures stay valid.
    """

    daemon_threads = True

    def __init__(self, endpoint: str, seed: int = 0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.fault = urlsplit(endpoint).netloc, "none"
        self.random = random.Random(seed)
        self.faults = 0  # requests that were not answered as the server would have
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The proxy's URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that were killed in the middle of a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyS3

    def _forward(self) -> None:
        fault = self.server.fault
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.faults += fault in ("away", "slow")
        if fault == "away":
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(SLOW)
        if fault == "refusing" and self.server.random.random() < REFUSED:
            self.server.faults += 1
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        if fault == "quota" and self.command in ("PUT", "POST"):
            self.server.faults += 1
            self._answer(403, [("Content-Type", "application/xml")], QUOTA)
            return
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status, answer.getheaders(), content, length)
        finally:
            connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815 - names of http.server

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""
