"""Errors as Prefect may store them, in the states and logs of flow and task runs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from components.common.errors import InputError, RunError
from components.common.interruption import interrupted
from components.common.public import public, public_errors

ORIGINAL = "original"  # attribute of an error with a public text


@contextmanager
def public_to_prefect() -> Iterator[None]:
    """Raise errors without credentials and private folders; `original` returns them with both.

    From then on, so are the logs of flow runs, in which a worker of Prefect writes tracebacks.
    """
    logging.getLogger("prefect.flow_runs").addFilter(_public_record)  # once, however often it is added
    with public_errors(_remember):
        yield


def _public_record(record: logging.LogRecord) -> bool:
    """Take credentials and private folders out of a line of a log and its traceback."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0]:
        text = "\n".join([text, "".join(traceback.format_exception(*record.exc_info))])
    record.msg, record.args, record.exc_info, record.exc_text = public(text), (), None, None
    return True


def _remember(error: Exception, replacement: Exception) -> None:
    vars(replacement)[ORIGINAL] = original(error)


def original(error: Exception) -> Exception:
    """Return the error that `public_to_prefect` has replaced by this one; else this one."""
    replaced = vars(error).get(ORIGINAL, error)
    assert isinstance(replaced, Exception)
    return replaced


@contextmanager
def readable_errors() -> Iterator[None]:
    """Raise the errors of a flow as an InputError or a RunError, and those of an interruption as one."""
    try:
        yield
    except Exception as caught:
        if interrupted.is_set():  # libraries turn a KeyboardInterrupt into errors of theirs
            raise KeyboardInterrupt from caught
        error = readable(original(caught))
        if isinstance(error, InputError | RunError):
            raise error from None
        raise RunError(f"{type(error).__name__}: {error}") from error


def readable(error: Exception) -> Exception:
    """Return the sentence for an error of a Prefect server that ended during a run; other errors stay."""
    if not isinstance(error, httpx.TransportError):
        return error
    return RunError(
        f"Prefect's server does not answer any more ({type(error).__name__}); what is done is stored: run "
        "the same command to resume"
    )
