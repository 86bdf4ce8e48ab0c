"""The URL of a store, and the names that may lie below it."""

from __future__ import annotations

import os

from components.common.errors import InputError

S3 = ("s3", "s3a")


def normalised(url: str) -> tuple[str, str]:
    """(url, protocol); a local one as an absolute path."""
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in ("file", "local"):
        local = rest if separator else url
        if not local.strip() or _has_control(local):
            raise InputError(f"{url!r} is not a folder")
        return os.path.abspath(os.path.expanduser(local)), "file"
    if "::" in protocol or _is_odd(url):
        raise InputError(f"{url!r} is not a store: expected a folder or protocol://place/folder")
    if protocol in S3 and "@" in rest:
        raise InputError("a store's url must not hold credentials: set AWS_ACCESS_KEY_ID and the others")
    if protocol in S3 and not rest.strip("/"):
        raise InputError(f"{url!r} names no bucket: expected {protocol}://bucket/folder")
    return url.rstrip("/") if rest.strip("/") else url, protocol


def confined(rel: str) -> str:
    """`rel`, if it stays below the store and means the same on every kind of store."""
    if any(segment in ("", ".", "..") for segment in rel.split("/")) or _is_odd(rel):
        raise InputError(f"{rel!r} is not a name in a store: expected a/b/c, no '..' or wildcards")
    return rel


def inside(rel: str) -> str:
    """`rel`, unless it is the store's own folder."""
    if not rel:
        raise InputError("the store's own folder is not a file in it")
    return rel


def _is_odd(text: str) -> bool:
    """Whether some store would take it for something else: wildcards, fragments, another separator."""
    return _has_control(text) or any(character in text for character in "*?[]#\\")


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
