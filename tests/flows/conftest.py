"""Stores that tests of whole runs begin with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import made_once
from tests.flows.driver import WEIGHTS, Atelier, Sweeps

DATA_STAGES = ("prepare", "extractor", "reference")


@pytest.fixture(scope="session")
def evaluable(
    digits: Path, prefect_server: str, ray_cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store with the extractor and the reference of the digits, made once for all processes of tests."""

    def make(folder: Path) -> None:
        whole = Atelier(tmp_path_factory.mktemp("evaluable-run") / "store")
        whole.run("--only", "autoencoder", *WEIGHTS, "--set", "train.steps=2")
        pins_alone = shutil.ignore_patterns("champion*", "seeds")
        shutil.copytree(whole.store / "registry", folder / "registry", ignore=pins_alone)
        for stage in DATA_STAGES:
            shutil.copytree(whole.store / "store" / stage, folder / "store" / stage)

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
