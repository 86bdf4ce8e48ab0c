"""What a store's errors mean: which pass by themselves, and the others as one sentence for people."""

from __future__ import annotations

import errno
import os
from typing import Any, NoReturn

from components.common.errors import InputError, RunError

PASSING = {errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ECONNRESET, errno.ETIMEDOUT, errno.EPIPE}
PASSING |= {getattr(errno, "EREMOTEIO", errno.EIO)}  # s3fs's number for "internal error"; only Linux has it
FULL = {errno.ENOSPC, errno.EDQUOT}
WRONG_PLACE = {errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}


class Unreachable(InputError):
    """The store did not answer, after the retries; whoever has time may try again."""


def transient(error: BaseException) -> bool:
    """Whether the same call may well succeed a little later."""
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status:
        return status >= 500 or status in (408, 409, 429) or code(error) in ("SlowDown", "RequestTimeout")
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if is_named(error, "HTTPClientError", "ConnectionError", "ClientConnectionError", "ClientPayloadError"):
        return True
    return isinstance(error, OSError) and error.errno in PASSING


def is_taken(error: BaseException) -> bool:
    """Whether an exclusive creation lost: s3fs has two ways to say so."""
    return isinstance(error, FileExistsError) or code(error) in ("PreconditionFailed", "412")


def is_absent(error: BaseException) -> bool:
    """Whether it says that a file is missing, in a store that is there."""
    return isinstance(error, FileNotFoundError) and code(error) != "NoSuchBucket"


def code(error: BaseException) -> str:
    """The error code of an S3 server; empty if it was none."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def is_named(error: BaseException, *names: str) -> bool:
    """Whether it is one of the client library's own errors, asked without importing that library."""
    kinds = [c for c in type(error).__mro__ if c.__module__.startswith(("botocore", "aiohttp"))]
    return any(c.__name__ in names for c in kinds)


def _response(error: BaseException) -> dict[str, Any]:
    found = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return found if isinstance(found, dict) else {}


def explain(error: Exception, url: str) -> NoReturn:
    """Raise it again; a known mishap as one sentence that names the store and never a credential."""
    if isinstance(error, InputError | RunError) or is_absent(error):
        raise error
    raise _sentence(error, url) from error


def _sentence(error: Exception, url: str) -> Exception:
    number = getattr(error, "errno", None)
    where = f"{url} ({error.filename})" if isinstance(error, OSError) and error.filename else url
    if number in FULL:
        return RunError(f"{url}: no space left; free some and run the same command again")
    if code(error) in ("NoSuchBucket", "InvalidBucketName") or is_named(error, "ParamValidationError"):
        return InputError(f"{url}: there is no such bucket; create it or correct the store's url")
    if is_named(error, "NoCredentialsError", "PartialCredentialsError"):
        return InputError(
            f"{url}: no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if code(error) in ("AuthorizationHeaderMalformed", "PermanentRedirect", "301"):
        return InputError(f"{url}: the bucket is in another region; set AWS_DEFAULT_REGION to it")
    if isinstance(error, PermissionError) and "://" in url:
        return InputError(
            f"{url}: the credentials were refused; check them, the address and the bucket's rules"
        )
    if isinstance(error, PermissionError):
        return InputError(f"{where}: no permission; choose another folder or change its owner")
    if transient(error) and "://" in url:
        return Unreachable(
            f"{url} does not answer ({type(error).__name__}); check the address and the network"
        )
    if number in WRONG_PLACE:
        return InputError(
            f"{where}: cannot be written ({os.strerror(number or 0).lower()}); choose another folder"
        )
    return RunError(f"{where}: {error}") if isinstance(error, OSError) else error
