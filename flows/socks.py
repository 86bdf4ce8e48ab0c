"""SOCKS proxies of the environment, which httpx refuses when a client is made, even one for loopback alone.

Prefect makes its own clients. Where the package for such proxies is missing, a client is made all the same,
and only a request that would go through the proxy fails.
"""

from __future__ import annotations

from typing import Any, NoReturn

import httpx

ADVICE = "the proxy of the environment is a SOCKS proxy; `pip install httpx[socks]`, or unset the variable"


class Unsupported(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The transport to a proxy that this installation cannot use."""

    def handle_request(self, request: httpx.Request) -> NoReturn:
        """Raise UnsupportedProtocol."""
        raise httpx.UnsupportedProtocol(f"{request.url.host}: {ADVICE}", request=request)

    async def handle_async_request(self, request: httpx.Request) -> NoReturn:
        """Raise UnsupportedProtocol."""
        self.handle_request(request)


def tolerate_socks_proxies() -> None:
    """Make clients of httpx in this process as described above; a second call changes nothing."""
    for client in (httpx.Client, httpx.AsyncClient):
        make = client._init_proxy_transport
        if make.__module__ == __name__:
            continue

        def tolerant(
            self: Any, proxy: httpx.Proxy, *arguments: Any, _make: Any = make, **settings: Any
        ) -> Any:
            try:
                return _make(self, proxy, *arguments, **settings)
            except ImportError:
                return Unsupported()

        client._init_proxy_transport = tolerant  # type: ignore[method-assign]
