import pytest

from tests.data.pictures import fill


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def images(tmp_path):
    return fill(tmp_path / "images", 30)
