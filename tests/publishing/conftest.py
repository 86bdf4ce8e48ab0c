"""Fixtures that several files of this folder share."""

from tests.small_data import *  # noqa: F403  (fixtures)
