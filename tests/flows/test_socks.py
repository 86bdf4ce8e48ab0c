"""A SOCKS proxy that cannot be used fails requests through it, and no others."""

from __future__ import annotations

import asyncio
import sys
from http.server import HTTPServer
from threading import Thread

import httpx
import pytest

from components.common import loopback
from flows.socks import tolerate_socks_proxies
from tests.flows.test_prefect_server import NoPrefect


@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy", "https_proxy"])
def test_loopback_needs_no_package_for_a_proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "socksio", None)  # as if it were not installed
    monkeypatch.setenv(variable, "socks5://127.0.0.1:9")
    loopback.bypass_proxies()
    for _ in range(2):
        tolerate_socks_proxies()
    protocol = "https" if variable == "https_proxy" else "http"
    with HTTPServer(("127.0.0.1", 0), NoPrefect) as server, httpx.Client() as client:
        Thread(target=server.serve_forever, daemon=True).start()
        assert client.get(f"http://127.0.0.1:{server.server_port}/").text == "<html>"
        with pytest.raises(httpx.UnsupportedProtocol, match=r"example.org: .*pip install httpx\[socks\]"):
            client.get(f"{protocol}://example.org/")
        server.shutdown()

    async def remote() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(f"{protocol}://example.org/")

    with pytest.raises(httpx.UnsupportedProtocol, match="SOCKS"):
        asyncio.run(remote())
