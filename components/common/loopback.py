"""Connections to servers on this machine, which never go through a proxy."""

from __future__ import annotations

import os
import re
import socket

HOSTS = ("localhost", "127.0.0.1", "127.0.0.2", "::1")  # the second address is that of a local Ray cluster
ADDRESS = re.compile(r"\b127(?:\.\d{1,3}){3}\b")


def bypass_proxies() -> None:
    """Add loopback addresses to no_proxy, for this process and those that it starts.

    Remote addresses still use the proxies of the environment. Libraries read no_proxy or NO_PROXY, so both
    get the entries of both.
    """
    names = ("no_proxy", "NO_PROXY")
    entries = [entry.strip() for name in names for entry in os.environ.get(name, "").split(",")]
    others = [address for value in os.environ.values() for address in ADDRESS.findall(value)]
    hosts = ",".join(dict.fromkeys(filter(None, [*entries, *HOSTS, *others])))
    os.environ.update(dict.fromkeys(names, hosts))


def free_port() -> int:
    """Return a port on which no server of this machine listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Return whether a server on this machine answers a request with status 200."""
    import urllib.request  # slow to import, and most commands ask no server

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return int(answer.status) == 200
    except OSError:
        return False
