"""Remove from texts what must not be stored, logged or published: credentials, folders of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from components.common.errors import InputError, RunError, sentence

URL = re.compile(  # a ":" that no port follows begins a password, which may hold spaces and quotes
    r"[A-Za-z][\w+.-]*://(?:[^\s/@:'\"<>\[\]]*:(?!\d{1,5}(?![^\s/?#'\"<>]))[^@\r\n]*@)?[^\s'\"<>]+"
)
WITH_NAMES = ("abfs", "abfss", "sftp", "ssh", "hdfs")  # protocols whose names before "@" are never secret
HTTP = ("http", "https")  # ends of protocols, as of git+https
RANDOM = re.compile(  # a folder or the end of a URL's path, not a file's name
    r"(?<=/)(?=[\w~:-]*[a-z])(?=[\w~:-]*[A-Z])(?=[\w~:-]*\d)[\w~:-]{20,}(?![\w~:-]|\.\w)"
)
SECRET = r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY"  # in names of environment variables
VALUE = r"(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|['\"]?[^\s&;,'\"]+)"
ASSIGNED = re.compile(
    r"\b(\w*(?:secret|token|passw|pwd|signature|credential|(?:api|access|account|private)_?key)\w*|sig"
    r"|key(?=\s*=\s*['\"]))"
    rf"(\s*=\s*){VALUE}",
    re.I,
)
HEADER = re.compile(  # of HTTP, or an entry of JSON or YAML
    r"\b((?:[\w-]+[-_])?(?:authorization|token|secret|password|(?:api|access)[-_]?key))(['\"]?\s*:\s*)"
    rf"(?:(?:bearer|basic|digest|token)\s+)?{VALUE}",
    re.I,
)
OPTION = re.compile(
    r"(?<!\S)(--?(?:[\w-]+-)?(?:password|token|secret|api-key)\s+)(?:'[^'\r\n]*'|[^\s-]\S*)", re.I
)
USERINFO = re.compile(r"(?<![\w/@])[\w.+-]+:[^\s@/:'\"]+@(?=\w)")  # user:password@ without a protocol
COOKIE = re.compile(r"\b((?:set-)?cookie['\"]?\s*:\s*['\"]?)[^\r\n'\"]+", re.I)
BEARER = re.compile(r"\b(bearer\s+)[\w.~+/=-]{4,}", re.I)
QUOTED_FOLDERS = re.compile(r"(?<=')/[^'\r\n]*/(?=[^'\r\n]*')|(?<=\")/[^\"\r\n]*/(?=[^\"\r\n]*\")")
FOLDERS = re.compile(r"(?<![\w/.~-])/(?:[^/\s:'\"]+/)+")  # of an absolute path


def public(text: str) -> str:
    """Return text without credentials and without the folders of absolute paths."""
    text = without_secrets(text).replace("file:///", "/")
    for folder in {os.environ.get("HOME"), os.environ.get("PWD")} - {None, "", "/"}:  # may hold spaces
        text = text.replace(f"{folder}/", "/")
    return FOLDERS.sub("", QUOTED_FOLDERS.sub("", text))


def without_secrets(text: str) -> str:
    """Return text without credentials: in URLs, headers, assignments as token=..., and of the environment."""
    for name, value in os.environ.items():
        if re.search(SECRET, name.upper()) and len(value) >= 4:
            text = text.replace(value, "***")
    text = ASSIGNED.sub(r"\1\2***", URL.sub(lambda match: public_url(match[0]), text))
    text = USERINFO.sub("***@", OPTION.sub(r"\1***", text))
    return BEARER.sub(r"\1***", COOKIE.sub(r"\1***", HEADER.sub(r"\1\2***", text)))


def public_url(url: str) -> str:
    """Return a URL without user and password, without its query, and with no token in the path of a web hook.

    The names before "@" stay for `WITH_NAMES`, where they are a container, or a user whom a key identifies.
    """
    protocol, separator, rest = url.partition("://")
    if not separator or protocol == "file":
        return url
    authority = rest.partition("/")[0]
    has_port_only = re.fullmatch(r"[^@:]+:\d{1,5}", authority)
    if ":" in authority and "@" in rest and not has_port_only:  # a password may contain any character
        rest = rest.rpartition("@")[2]
    elif "@" in authority and protocol.lower() not in WITH_NAMES:
        rest = authority.rpartition("@")[2] + rest[len(authority) :]
    rest = re.split("[?#]", rest, maxsplit=1)[0]
    return f"{protocol}://{RANDOM.sub('***', rest) if protocol.lower().endswith(HTTP) else rest}"


def public_values(value: Any) -> Any:
    """Return a JSON value with `public` texts; those that begin with "/" are paths, which may hold spaces."""
    if isinstance(value, str):
        return public(f"'{value}'")[1:-1] if value.startswith("/") else public(value)
    if isinstance(value, dict):
        return {name: public_values(entry) for name, entry in value.items()}
    return [public_values(entry) for entry in value] if isinstance(value, list | tuple) else value


def public_error(error: Exception) -> Exception:
    """Return the error itself if its texts and those of its causes are public, else one with a public text.

    Its class is the same for errors for users, else RunError.
    """
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    if all(str(link) == public(str(link)) for link in chain):
        return error
    kind = type(error) if isinstance(error, InputError | RunError) else RunError
    return kind(public(sentence(error))).with_traceback(error.__traceback__)


@contextmanager
def public_errors(on_replaced: Callable[[Exception, Exception], None] | None = None) -> Iterator[None]:
    """Raise the errors of the block as `public_error`, for callers that store or log them.

    Args:
        on_replaced: called with an error that is not public and the one raised in its place.
    """
    try:
        yield
    except Exception as error:
        replacement = public_error(error)
        if replacement is error:
            raise
        if on_replaced is not None:
            on_replaced(error, replacement)
        raise replacement from None
