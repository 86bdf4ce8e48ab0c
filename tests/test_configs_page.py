"""docs/configs.md lists every config with its families and data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| `(configs/[^`]*)` \| ([^|]*) \| `([^`]*)` \|", (ROOT / "docs/configs.md").read_text(), re.M
)
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml"))


def test_every_config_has_one_row() -> None:
    assert sorted(row[0] for row in ROWS) == CONFIGS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_states_families_and_data(row: tuple[str, str, str]) -> None:
    config = yaml.safe_load((ROOT / row[0]).read_text())
    assert row[1:] == (", ".join(config["families"]), config["data"]["name"])
