"""Fixtures that several files of this folder share."""

from tests.sampling.conftest import pictures  # noqa: F401  (fixture)
