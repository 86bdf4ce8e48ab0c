from pathlib import Path

import pytest

from tests.flows.driver import Atelier


@pytest.fixture
def fresh(digits: Path, prefect_server: str, ray_cluster: str, tmp_path: Path) -> Atelier:
    """The command line, with a store of the test's own."""
    return Atelier(tmp_path / "store")
