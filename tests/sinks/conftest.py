"""A store with a run of one family that was treated twice, was measured and has samples."""

from pathlib import Path

import pytest

from components.records.run import RunManifest
from components.registry.runs import find_run
from components.sinks import history
from components.sinks.history import History
from components.store import Store
from tests.report import fixture


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("store")))
    train = fixture.patient(store, "dcgan", [fixture.collapsed(), fixture.vanished()], 1000, begin=1)
    result = fixture.near(store, fixture.result("dcgan", 14.2))
    about = fixture.lineage(families=["dcgan", "vae"])
    about.config["families"]["dcgan"] = {"channels": 16}
    fixture.write_run(store, fixture.manifest("r1", "done", [train], [result], lineage=about))
    return store


@pytest.fixture
def run(store: Store) -> RunManifest:
    return find_run(store, "r1")


@pytest.fixture
def treated(store: Store, run: RunManifest) -> History:
    return history.read(store, run)[0]


def texts_of(folder: Path) -> bytes:
    """The bytes of all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
