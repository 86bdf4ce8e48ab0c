"""Serve a store's pages to a browser: on loopback only, read-only, and only files of pages."""

from __future__ import annotations

import contextlib
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.common.errors import InputError, RunError
from components.report.build import POLICY
from components.store import Store

HOST = "127.0.0.1"
ELSEWHERE = (
    "These pages are served to this machine only, as 127.0.0.1 or localhost. From another one, forward the "
    "port (ssh -L 8000:localhost:8000), or copy the pages (atelier report pull)"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
}


def relative(url: str) -> str | None:
    """Return the requested path in the store; None unless it is a page, or part of one, inside it."""
    try:
        path = unquote(urlsplit(url).path).removeprefix("/")
    except ValueError:  # such as http://[
        return None
    if path == "" or path.endswith("/"):
        path += "index.html"
    parts = path.split("/")
    hidden = any(part in ("", "..") or part.startswith(".") for part in parts)
    odd = "\\" in path or ":" in path or any(ord(c) < 32 or ord(c) == 127 for c in path)
    return None if hidden or odd or Path(path).suffix not in TYPES else path


class Pages(BaseHTTPRequestHandler):
    """Answer GET and HEAD requests from a store."""

    server: Server

    def do_GET(self) -> None:
        """Send the file, or a bare error."""
        # Against DNS rebinding: another site could resolve its name to 127.0.0.1 and read the store.
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in (HOST, "localhost"):
            return self.send_error(HTTPStatus.FORBIDDEN, explain=ELSEWHERE)
        rel = relative(self.path)
        body = self.server.read(rel) if rel else None
        if rel is None or body is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        self.send_response(HTTPStatus.OK)
        headers = {
            "Content-Type": TYPES[Path(rel).suffix],
            "Content-Length": str(len(body)),
            "Cache-Control": "no-cache",
        }
        headers |= {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": POLICY,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        return None

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: this is a viewer, not a service."""


class Server(ThreadingHTTPServer):
    """A server of one store on the loopback interface."""

    daemon_threads = True

    def __init__(self, store: Store, port: int = 0):
        self.store = store
        super().__init__((HOST, port), Pages)

    @property
    def url(self) -> str:
        """The address of the index."""
        return f"http://{HOST}:{self.server_port}/"

    def read(self, rel: str) -> bytes | None:
        """Return a file of the store, or None; links out of a local store are not followed."""
        try:
            if self.store.is_local:
                root = Path(self.store.path("")).resolve()
                if not Path(self.store.path(rel)).resolve().is_relative_to(root):
                    return None
            return self.store.read_bytes(rel)
        except (OSError, ValueError, RunError):  # missing, a folder, or refused by the store
            return None

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing if the client has disconnected, else the error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def server(store: Store, port: int = 0) -> Server:
    """Return a server for `store`, bound but not yet serving; port 0 is any free one."""
    try:
        return Server(store, port)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {HOST}:{port} ({error}); choose another port, or 0 for any free one"
        ) from error


def serve(store: Store, port: int = 0, ready=print) -> None:
    """Serve `store` until interrupted; `ready` is called with the address."""
    with server(store, port) as running, contextlib.suppress(KeyboardInterrupt):
        ready(running.url)
        running.serve_forever()
