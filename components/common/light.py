"""A light install has what loads and samples models; the rest comes with the extra `run` (pyproject.toml)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from components.common.errors import InputError


@contextmanager
def whole_install() -> Iterator[None]:
    """Raise InputError if a package is missing that the block imports."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise incomplete(error) from None


def incomplete(error: ModuleNotFoundError) -> InputError:
    """Return an error that says how to install what is missing."""
    return InputError(
        f"this needs the package {error.name}, which a light install of Atelier lacks; install the rest with "
        "`pip install 'PATH[run]'`, where PATH is the folder of its source code or its wheel"
    )
