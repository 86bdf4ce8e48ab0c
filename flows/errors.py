"""Errors as Prefect may store them, in the states and logs of flow and task runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from components.common.public import public_errors

ORIGINAL = "original"  # attribute of an error with a public text


@contextmanager
def public_to_prefect() -> Iterator[None]:
    """Raise errors without credentials and private folders; `original` returns them with both."""
    with public_errors(_remember):
        yield


def _remember(error: Exception, replacement: Exception) -> None:
    vars(replacement)[ORIGINAL] = original(error)


def original(error: Exception) -> Exception:
    """Return the error that `public_to_prefect` has replaced by this one; else this one."""
    replaced = vars(error).get(ORIGINAL, error)
    assert isinstance(replaced, Exception)
    return replaced
