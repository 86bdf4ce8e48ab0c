"""What the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["docs/architecture.md", "CONTRIBUTING.md", "docs/add-a-stage.md", "docs/add-a-family.md"]
EXAMPLES = {"components/pipeline/model_size.py"}  # that a page tells its reader to write


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    paths = re.findall(r"`((?:models|components|flows|tests|configs|benchmarks|docs)/[\w./-]*)`", text)
    assert paths
    missing = [path for path in paths if path not in EXAMPLES and not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    missing = [link for link in links if not (folder / link).exists()]
    assert not missing


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    packages = [path.name for path in (ROOT / "components").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in packages if f"components.{name}" not in text] == []
