"""One Chromium for all pages of a session of tests, driven over the DevTools protocol.

Every page has a browser context of its own, so that it finds no storage of another, and a clock of its own
that jumps over waiting: https://chromedevtools.github.io/devtools-protocol/tot/Emulation
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.conftest import end

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFF = ("background-networking", "component-update", "gpu", "quic", "sync")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in OFF)]
BUDGET = 4000  # milliseconds of a page's own clock
PATIENCE = 120  # seconds
PAPER = {"width": 688, "height": 1017, "deviceScaleFactor": 1, "mobile": False}  # A4 within its margins


class Browser:
    """A running Chromium."""

    def __init__(self, connection: ClientConnection):
        self.connection = connection
        self.sent = 0
        self.events: list[dict[str, Any]] = []

    def load(self, url: str, *, paper: bool = False) -> str:
        """The page's document after its script has run, on a sheet of A4 if it is for paper.

        Asserts that the console stays empty.
        """
        self.events.clear()
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable", session)
            self.call("Emulation.setVirtualTimePolicy", session, policy="pause")
            if paper:
                self.call("Emulation.setEmulatedMedia", session, media="print")
                self.call("Emulation.setDeviceMetricsOverride", session, **PAPER)
            self.call("Page.navigate", session, url=url)
            policy = "pauseIfNetworkFetchesPending"
            self.call("Emulation.setVirtualTimePolicy", session, policy=policy, budget=BUDGET)
            self.wait("Emulation.virtualTimeBudgetExpired")
            document = {"expression": "document.documentElement.outerHTML"}
            html: str = self.call("Runtime.evaluate", session, **document)["result"]["value"]
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)
        messages = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        written = [event for event in self.events if event["method"] in messages]
        assert not written, written
        return html

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """What a method of the protocol returns; events that come before are remembered."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": parameters}
        self.connection.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while (answer := self.receive()).get("id") != self.sent:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, event: str) -> None:
        """Return as soon as there has been such an event."""
        while not any(one["method"] == event for one in self.events):
            self.receive()

    def receive(self) -> dict[str, Any]:
        """The next message; one without an id is an event, and remembered."""
        message: dict[str, Any] = json.loads(self.connection.recv(timeout=PATIENCE))
        if "id" not in message:
            self.events.append(message)
        return message


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium for the session; without one on this machine, its tests are skipped."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: the pages cannot be checked")
        pytest.skip("no Chromium on this machine")
    with chromium(CHROMIUM, tmp_path_factory.mktemp("profile")) as started:
        yield started


@contextmanager
def chromium(program: str, profile: Path) -> Iterator[Browser]:
    """A running browser with a profile of its own."""
    command = [program, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(address(profile / "DevToolsActivePort", process), max_size=None) as connection:
            yield Browser(connection)
    finally:
        end(process)


def address(file: Path, process: subprocess.Popen[bytes]) -> str:
    """Where Chromium listens, which it writes into its profile: a port and a path."""
    until = time.monotonic() + PATIENCE
    while not file.exists() or len(lines := file.read_text().split()) < 2:
        assert process.poll() is None and time.monotonic() < until, "Chromium did not start"
        time.sleep(0.05)
    port, path = lines
    return f"ws://127.0.0.1:{port}{path}"
