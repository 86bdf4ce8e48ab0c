"""What Prefect stores of an error, and what the terminal gets."""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path

import httpx
import pytest

from components.common.errors import InputError, RunError
from components.common.interruption import interrupted
from flows.errors import original, public_to_prefect, readable_errors


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


def test_logs_of_flow_runs_have_tracebacks_without_folders() -> None:
    logger = logging.getLogger("prefect.flow_runs")
    with pytest.raises(RunError) as caught:
        inner(RunError("a stage failed"))
    failure = (RunError, caught.value, caught.value.__traceback__)
    record = logger.makeRecord("", 40, "", 1, "failed at %s", ("https://me:S3CR3T@host",), failure)
    logger.filter(record)
    text = logging.Formatter().format(record)
    assert "failed at https://host" in text and 'File "test_errors.py", line' in text
    assert str(Path(__file__).parent) not in text and "S3CR3T" not in text


def test_an_error_without_anything_private_stays_as_it_is() -> None:
    error = RunError("a stage failed")
    with pytest.raises(RunError) as caught:
        outer(error)
    assert caught.value is error is original(error)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (InputError("no such data"), InputError, "no such data"),
        (ValueError("a\nb"), RunError, "ValueError: a b"),
        (httpx.ConnectError("refused"), RunError, "Prefect's server does not answer any more (ConnectError)"),
    ],
)
def test_a_flow_fails_with_an_error_for_users(error: Exception, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}"), readable_errors():
        outer(error)


def test_errors_of_an_interrupted_flow_are_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupted, "is_set", lambda: True)
    with pytest.raises(KeyboardInterrupt), readable_errors():
        raise RunError("a worker was cancelled")
