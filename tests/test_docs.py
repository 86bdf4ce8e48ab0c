"""The documentation names paths, pages and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]
EXAMPLES = {"components/pipeline/model_size.py"}  # that a page tells its reader to write


def named_paths(page: str) -> list[str]:
    """Paths of the repository that a page names in backticks."""
    pattern = r"`((?:models|components|flows|tests|configs|benchmarks|docs)/[\w./-]*)`"
    return re.findall(pattern, (ROOT / page).read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    missing = [path for path in named_paths(page) if path not in EXAMPLES and not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/operate.md"])
def test_pages_name_paths(page: str) -> None:
    assert named_paths(page)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^):#]*)(?:#([^)]*))?\)", (ROOT / page).read_text())
    missing = []
    for link, anchor in links:
        target = (ROOT / page).parent / link if link else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{link}#{anchor}")
    assert not missing


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    packages = [path.name for path in (ROOT / "components").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in packages if f"components.{name}" not in text] == []
