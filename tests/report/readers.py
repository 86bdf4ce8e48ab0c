"""Scripts that read a page as a person would, and what they find."""

import re
from pathlib import Path


def marks(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', re.search(r"<html[^>]*>", html)[0]))


def with_script(page: Path, script: str) -> Path:
    """A copy of a page that runs `script` as well."""
    page.with_name("reader.js").write_text(script)
    probe = page.with_name("probe.html")
    probe.write_text(page.read_text().replace("</head>", '<script src="reader.js"></script></head>'))
    return probe


def check(html: str) -> None:
    assert marks(html)["ready"] == "true" and marks(html)["errors"] == "0"
    assert "<script>alert" not in html


READER = """
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 250));
  const one = (s) => document.querySelector(s), all = (s) => [...document.querySelectorAll(s)];
  const note = (name, value) => { document.documentElement.dataset[name] = value; };
  await wait();
  %s
  note("end", "reached");
});
"""


def read_as(browser, page: str, script: str) -> dict[str, str]:
    """What a reader notes on a page that shows no error."""
    return linked(browser, page, "", script)


def linked(
    browser, page: str, address: str, script: str, library: str = "", *, paper: bool = False
) -> dict[str, str]:
    """The same with an address after #, or on paper; `library` is a script that comes first."""
    probe = with_script(Path(page), library + READER % script)
    html = browser.load(f"file://{probe}#{address}", paper=paper)
    check(html)
    notes = marks(html)
    assert notes["end"] == "reached"
    return notes
