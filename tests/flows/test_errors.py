"""What Prefect stores of an error, and what the terminal gets."""

from __future__ import annotations

import traceback

import pytest

from components.common.errors import InputError, RunError
from flows.errors import original, public_to_prefect


@public_to_prefect()
def inner(error: Exception) -> None:
    raise error


@public_to_prefect()
def outer(error: Exception) -> None:
    inner(error)


@pytest.mark.parametrize(
    ("error", "kind"), [(InputError("token=S3CR3T"), InputError), (OSError(2, "x", "/a/S3CR3T/b"), RunError)]
)
def test_prefect_gets_the_public_text_and_the_terminal_the_error(
    error: Exception, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        outer(error)
    assert "S3CR3T" not in "".join(traceback.format_exception(caught.value))
    assert original(caught.value) is error


def test_an_error_without_anything_private_stays_as_it_is() -> None:
    error = RunError("a stage failed")
    with pytest.raises(RunError) as caught:
        outer(error)
    assert caught.value is error is original(error)
