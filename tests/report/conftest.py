import json
import shutil
from pathlib import Path

import pytest

from components.store import Store
from tests.conftest import made_once
from tests.report import fixture


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A store's folder with a run of every kind, and their ids; made once."""
    writers = {
        "done": fixture.write_done,
        "partial": fixture.write_partial,
        "running": fixture.write_running,
        "ward": fixture.write_ward,
    }

    def make(folder: Path) -> None:
        store = Store(str(folder / "store"))
        ids = {status: write(store) for status, write in writers.items()}
        (folder / "ids.json").write_text(json.dumps(ids))

    folder = made_once(tmp_path_factory, "runs", make)
    return folder / "store", json.loads((folder / "ids.json").read_text())


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "output"))


@pytest.fixture
def runs(store, written):
    """The runs in this test's own store; their ids by what they are."""
    folder, ids = written
    shutil.copytree(folder, Path(store.path()), dirs_exist_ok=True)
    return dict(ids)
