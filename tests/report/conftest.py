import shutil
from pathlib import Path

import pytest

from components.store import Store
from tests.report import fixture


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A store's folder with a run of every kind, and their ids; made once."""
    folder = tmp_path_factory.mktemp("runs")
    store = Store(str(folder))
    writers = {
        "done": fixture.write_done,
        "partial": fixture.write_partial,
        "running": fixture.write_running,
        "ward": fixture.write_ward,
    }
    return folder, {status: write(store) for status, write in writers.items()}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "output"))


@pytest.fixture
def runs(store, written):
    """The runs in this test's own store; their ids by what they are."""
    folder, ids = written
    shutil.copytree(folder, Path(store.path()), dirs_exist_ok=True)
    return dict(ids)
