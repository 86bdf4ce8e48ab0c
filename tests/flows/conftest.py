"""Stores that tests of whole runs begin with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.config import loading
from components.store import Store
from flows.evaluate import EvaluationSession
from tests.conftest import made_once
from tests.flows.driver import TINY, Atelier, Sweeps


@pytest.fixture(scope="session")
def evaluable(
    digits: Path, prefect_server: str, ray_cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store with the extractor and the reference of the digits, made once for all processes of tests."""

    def make(folder: Path) -> None:
        settings = loading.load(TINY, []).evaluate
        EvaluationSession(Store(str(folder)), "digits", settings, None, say=lambda _: None).prepare()

    return made_once(tmp_path_factory, "evaluable", make)


@pytest.fixture
def fresh(evaluable: Path, tmp_path: Path) -> Atelier:
    """The command line, with a store of the test's own in which nothing is trained."""
    return Atelier(shutil.copytree(evaluable, tmp_path / "store"))


@pytest.fixture
def undisturbed(evaluable: Path, tmp_path: Path) -> Atelier:
    """Another one, to compare with."""
    return Atelier(shutil.copytree(evaluable, tmp_path / "undisturbed"))


@pytest.fixture
def sweeps(evaluable: Path, tmp_path: Path) -> Sweeps:
    """The same for sweeps."""
    return Sweeps(shutil.copytree(evaluable, tmp_path / "store"))
