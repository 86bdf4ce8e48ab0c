import pytest

from components.storage import Store
from tests.report import fixture


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "output"))


@pytest.fixture
def runs(store):
    """A store with a finished, a partial and a running run; their ids by status."""
    return {
        "done": fixture.write_done(store),
        "partial": fixture.write_partial(store),
        "running": fixture.write_running(store),
    }
