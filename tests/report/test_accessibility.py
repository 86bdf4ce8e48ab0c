"""The pages under axe-core's rules, in the browser: no finding that it calls serious or critical."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from components.report import build_index, build_run
from tests.report import fixture
from tests.report.readers import linked

pytestmark = pytest.mark.browser

# All rules in the light theme; in the dark one those of colours, since nothing else differs.
AXE = """
  const every = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const colours = { type: "rule", values: ["color-contrast", "link-in-text-block"] };
  const grave = async (part, theme, runOnly) => {
    document.documentElement.dataset.theme = theme;
    await wait();
    const options = { preload: false, resultTypes: ["violations"], runOnly };
    const found = (await axe.run(part, options)).violations;
    const serious = found.filter((rule) => ["serious", "critical"].includes(rule.impact));
    const where = (rule) => rule.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" ");
    return serious.map((rule) => `${theme}: ${rule.id}: ${where(rule)}`);
  };
  const both = async (part) => [
    ...(await grave(part, "light", every)), ...(await grave(part, "dark", colours)),
  ];
"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script, which its package carries; MPL-2.0, and only in tests."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        if os.environ.get("CI"):
            pytest.fail("axe-core is missing: make setup-dev")
        pytest.skip("axe-core is missing: make setup-dev")
    return Path(spec.submodule_search_locations[0], "axe.min.js").read_text()


def findings(browser, page: str, axe: str, before: str = "", address: str = "", parts: tuple = ()) -> str:
    """What is grave on a page, or on parts of it by selector, in either theme, as one text."""
    part = f"{{ include: {list(parts)} }}" if parts else "document"
    script = f'{AXE} {before} await wait(); note("grave", JSON.stringify(await both({part})));'
    notes = linked(browser, page, address, script, axe)
    return "\n".join(json.loads(notes["grave"].replace("&quot;", '"').replace("&amp;", "&")))


@pytest.mark.parametrize("status", ["done", "partial", "running", "ward"])
def test_run_pages(browser, store, runs, axe, status):
    assert not findings(browser, store.path(build_run(store, runs[status])), axe)


@pytest.mark.parametrize("address", ["family=vae&step=250&sample=3", "rows=family&columns=step", "rows=step"])
def test_the_gallery_and_an_enlarged_sample(browser, store, runs, axe, address):
    """Here and at a vote the rest of the page is that of `test_run_pages`."""
    parts = ("#samples", ".viewer")
    assert not findings(
        browser, store.path(build_run(store, runs["done"])), axe, address=address, parts=parts
    )


def test_a_vote(browser, store, runs, axe):
    vote = 'all("#blind button").find((n) => n.textContent === "Vote").click();'
    assert not findings(browser, store.path(build_run(store, runs["done"])), axe, vote, parts=("#review",))


@pytest.mark.parametrize("count", [0, 40])
def test_the_index(browser, store, axe, count):
    fixture.write_many(store, count)
    assert not findings(browser, store.path(build_index(store)), axe)


def test_the_comparison(browser, store, runs, axe):
    for name in ("done", "partial"):
        build_run(store, runs[name])
    build_index(store)
    address = f"runs={runs['done']},{runs['partial']}"
    assert not findings(browser, store.path("compare.html"), axe, address=address)
