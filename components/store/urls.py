"""Validate the URL of a store and the names below it."""

from __future__ import annotations

import os

from components.common.errors import InputError
from components.common.public import public_url

S3 = ("s3", "s3a")


def normalised(url: str) -> tuple[str, str]:
    """Return (url, protocol); a local URL becomes an absolute path.

    Raises:
        InputError: not a URL of a store, or one with credentials or without a bucket.
    """
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in ("file", "local"):
        local = rest if separator else url
        if not local.strip() or _has_control(local):
            raise InputError(f"{url!r} is not a folder")
        return os.path.abspath(os.path.expanduser(local)), "file"
    if "::" in protocol or _is_odd(url):
        raise InputError(f"{public_url(url)!r} is not a store: expected a folder or protocol://place/folder")
    if public_url(url) != url or (protocol in S3 and "@" in rest):
        raise InputError(f"{public_url(url)}: a url must not hold credentials: set {_variables(protocol)}")
    if protocol != "memory" and not rest.strip("/"):
        place = "bucket" if protocol in S3 else "place"
        raise InputError(f"{url!r} names no {place}: expected {protocol}://{place}/folder")
    return url.rstrip("/") if rest.strip("/") else url, protocol


def _variables(protocol: str) -> str:
    """Return the environment variables that hold the credentials of a protocol, as part of a sentence."""
    name = protocol.upper()
    if protocol in S3:
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if protocol in ("http", "https"):
        return f"""FSSPEC_{name} to '{{"headers": {{"Authorization": "..."}}}}'"""
    return f"FSSPEC_{name}_USERNAME and FSSPEC_{name}_PASSWORD, on every machine that opens it"


def confined(rel: str) -> str:
    """Return `rel`; raise InputError if it leaves the store or is not portable between kinds of store."""
    if not is_confined(rel):
        raise InputError(f"{rel!r} is not a name in a store: expected a/b/c, no '..' or wildcards")
    return rel


def is_confined(rel: str) -> bool:
    """Return whether `rel` is a name below the store that all kinds of store read alike."""
    return not any(segment in ("", ".", "..") for segment in rel.split("/")) and not _is_odd(rel)


def inside(rel: str) -> str:
    """Return `rel`; raise InputError if it is empty, the store itself."""
    if not rel:
        raise InputError("an empty name is the store itself: give the name of a file or folder in it")
    return rel


def _is_odd(text: str) -> bool:
    """Return whether some store would misread it: wildcards, fragments, another separator."""
    return _has_control(text) or any(character in text for character in "*?[]#\\")


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
