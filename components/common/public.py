"""What of a text may be stored and published: no credentials, and no folders of this machine."""

from __future__ import annotations

import os
import re

URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+")
SECRET = r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY"  # in names of environment variables
ASSIGNED = re.compile(r"\b(\w*(?:secret|token|passw|signature|api_?key|access_?key)\w*)=[^\s&;,]+", re.I)
FOLDERS = re.compile(r"(?<![\w/:.~-])/(?:[^/\s:'\"]+/)+")  # of an absolute path


def public(text: str) -> str:
    """Return text without credentials and without the folders of absolute paths."""
    return FOLDERS.sub("", without_secrets(text).replace("file:///", "/"))


def without_secrets(text: str) -> str:
    """Return text without credentials: in URLs, in assignments such as token=..., of the environment."""
    for name, value in os.environ.items():
        if re.search(SECRET, name.upper()) and len(value) >= 4:
            text = text.replace(value, "***")
    return ASSIGNED.sub(r"\1=***", URL.sub(lambda match: public_url(match[0]), text))


def public_url(url: str) -> str:
    """Return a URL without credentials and without its query, which may hold a signature.

    A user without a password stays, as it is part of the address, but over HTTP it may be a token.
    """
    protocol, separator, rest = url.partition("://")
    if not separator or protocol == "file":
        return url
    authority = rest.partition("/")[0]
    if ":" in authority and "@" in rest:  # a password may contain any character
        rest = rest.rpartition("@")[2]
    elif "@" in authority and protocol.lower() in ("http", "https"):
        rest = authority.rpartition("@")[2] + rest[len(authority) :]
    return f"{protocol}://{re.split('[?#]', rest, maxsplit=1)[0]}"
