"""Classify the errors of stores: retry the transient ones, report the others in one sentence."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from components.common.errors import InputError, RunError, sentence
from components.common.interruption import interrupted_within

TRANSIENT = {errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ECONNRESET, errno.ETIMEDOUT, errno.EPIPE}
TRANSIENT |= {getattr(errno, "EREMOTEIO", errno.EIO)}  # s3fs's "internal error"; exists on Linux only
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
QUOTA = {"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}  # of Ceph and MinIO
NOT_WRITABLE = {errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}

# Of botocore, aiohttp and httpx, which WebDAV uses.
LOST_CONNECTIONS = (
    *("HTTPClientError", "ConnectionError", "ClientConnectionError", "ClientPayloadError"),
    *("NetworkError", "TimeoutException", "RemoteProtocolError"),
)

# Of reading a JSON file that does not exist or was not written completely. InputError is a ValueError too, so
# `except ValueError` would also take a file that could not be read just now for one that is missing.
MISSING_OR_TORN = (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, RecursionError)

OUTAGE_PAUSE = 5.0  # seconds

T = TypeVar("T")


class Unreachable(InputError):
    """The store did not answer, even after the retries. Callers that can wait may try again."""


class LostLease(RunError):
    """Another process holds the lease now: nothing may be written any more."""


def outlasting(action: Callable[[], T]) -> T:
    """Return `action()`; repeat it from its start for as long as the store does not answer.

    Raises:
        Unreachable: the process was interrupted meanwhile.
    """
    while True:
        try:
            return action()
        except Unreachable:
            if interrupted_within(OUTAGE_PAUSE):
                raise


def unless_torn(read: Callable[[], T]) -> T | None:
    """Return what `read()` returns; None if the file does not exist or was not written completely."""
    try:
        return read()
    except MISSING_OR_TORN:
        return None


def unmasked(ask: Callable[[], T]) -> T:
    """Return `ask()`; raise the error of the server where fsspec makes of it a missing file, as over HTTP.

    A refusal (403) stays a missing file: buckets that may not be listed refuse names that they do not have.
    """
    try:
        return ask()
    except FileNotFoundError as error:
        cause = error.__cause__
        if cause is None or _http_status(cause) in (403, 404, 410):
            raise
        if isinstance(cause, TimeoutError) or is_named(cause, "ClientError"):
            raise cause from None
        raise


def transient(error: BaseException) -> bool:
    """Return whether a retry of the same call may succeed."""
    if is_full(error):
        return False
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status:
        return status >= 500 or status in (408, 409, 429) or code(error) in ("SlowDown", "RequestTimeout")
    if status := _http_status(error):
        return status >= 500 or status in (408, 423, 429)
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if is_named(error, *LOST_CONNECTIONS):
        return True
    return isinstance(error, OSError) and error.errno in TRANSIENT


def is_full(error: BaseException) -> bool:
    """Return whether a disk is full, or the quota of a user or a bucket is used up."""
    return getattr(error, "errno", None) in DISK_FULL or code(error) in QUOTA or _http_status(error) == 507


def is_taken(error: BaseException) -> bool:
    """Return whether an exclusive creation failed because the file exists; s3fs reports this in two ways."""
    return isinstance(error, FileExistsError) or code(error) in ("PreconditionFailed", "412")


def is_absent(error: BaseException) -> bool:
    """Return whether a file is missing; False if the bucket itself does not exist."""
    return isinstance(error, FileNotFoundError) and code(error) != "NoSuchBucket"


def code(error: BaseException) -> str:
    """Return the error code of an S3 server; empty for other errors."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def is_named(error: BaseException, *names: str) -> bool:
    """Return whether the error is of one of these botocore, aiohttp or httpx classes, without imports."""
    classes = [c for c in type(error).__mro__ if c.__module__.startswith(("botocore", "aiohttp", "httpx"))]
    return any(c.__name__ in names for c in classes)


def _response(error: BaseException) -> Mapping[str, Any]:
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return response if isinstance(response, dict) else {}


def _http_status(error: BaseException) -> int:
    """Return the HTTP status that clients of WebDAV, Azure and HTTP add to their errors; 0 for others."""
    status = getattr(error, "status" if is_named(error, "ClientResponseError") else "status_code", None)
    return status if isinstance(status, int) else 0


def explain(error: Exception, url: str) -> NoReturn:
    """Re-raise the error; a known one as a sentence that names the store and contains no credential."""
    if isinstance(error, InputError | RunError) or is_absent(error):
        raise error
    raise readable(error, url) from error


def unopened(error: Exception, url: str) -> InputError:
    """Return, as a sentence, the error of a filesystem that a URL does not suit."""
    argument = re.search(r"missing .* required positional arguments?: '(\w+)'", str(error))
    if isinstance(error, TypeError) and argument:  # such as the address of a WebDAV server
        name = f"FSSPEC_{url.partition('://')[0]}_{argument[1]}".upper()
        return InputError(f"{url}: cannot be opened as a store without {argument[1]}; set {name}")
    return InputError(f"{url}: cannot be opened as a store ({sentence(error)})")


def readable(error: Exception, url: str) -> Exception:
    """Return a known error as a sentence that names the store and contains no credential, else the error."""
    number = getattr(error, "errno", None)
    path = f"{url} ({error.filename})" if isinstance(error, OSError) and error.filename else url
    if is_full(error):
        return RunError(f"{url}: no space left; free some and run the same command again")
    if code(error) in ("NoSuchBucket", "InvalidBucketName") or is_named(error, "ParamValidationError"):
        return InputError(f"{url}: there is no such bucket; create it or correct the address")
    if is_named(error, "NoCredentialsError", "PartialCredentialsError"):
        return InputError(f"{url}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if code(error) in ("AuthorizationHeaderMalformed", "PermanentRedirect", "301"):
        return InputError(f"{url}: the bucket is in another region; set AWS_DEFAULT_REGION to it")
    if (isinstance(error, PermissionError) or _http_status(error) in (401, 403)) and "://" in url:
        return InputError(f"{url}: access denied; check the credentials, the address and the bucket's policy")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission; choose another folder or change its owner")
    if transient(error) and "://" in url:
        return Unreachable(f"{url} does not answer ({type(error).__name__}); check address and network")
    if number in NOT_WRITABLE:
        reason = os.strerror(number or 0).lower()
        return InputError(f"{path}: cannot be written ({reason}); choose another folder")
    if isinstance(error, OSError):
        return RunError(f"{path}: {error}")
    bad_url = isinstance(error, ValueError) or is_named(error, "UnsupportedProtocol", "InvalidURL")
    if bad_url and "://" in url:  # such as a port above 65535
        return unopened(error, url)
    return error
