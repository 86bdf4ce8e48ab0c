"""Build the pages: static files next to the artefacts, without network access; all strings are escaped."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from components.common.errors import InputError
from components.common.hashing import sha256
from components.report import comparison, contact_sheet, formatting, gate, index_page, run_page
from components.report.reading import rounded
from components.store import Store
from components.tuning.recommendations import written

HERE = Path(__file__).parent
ASSETS = tuple(sorted(path.name for path in (HERE / "static").iterdir()))
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
# Only these characters could end a <script> element or, in old engines, a line in it.
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def inline(value: Any) -> Markup:
    """Return `value` as JSON that is safe inside a script element."""
    text = json.dumps(value, default=vars, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(UNSAFE))


UPDATED: dict[tuple[str, str], str] = {}
"""The hashes of the scripts and pictures that this process has written or found, by store and path."""


@functools.cache
def environment() -> Environment:
    """Return the templates' environment: everything is escaped, and missing values are empty.

    Kept for the process, so that each template is compiled once.
    """
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=ChainableUndefined
    )
    env.trim_blocks = env.lstrip_blocks = True
    env.filters |= {
        "inline": inline,
        "number": formatting.number,
        "rounded": rounded,
        "written": written,
        "count": formatting.count,
        "duration": formatting.duration,
        "moment": formatting.moment,
        "size": formatting.size,
    }
    env.globals |= {"policy": POLICY}
    return env


def _update(store: Store, path: str, content: bytes) -> None:
    """Write a file unless it has this content already: pages of a run in progress are built often.

    It is read once by each process, not for each page.
    """
    place, digest = (store.url, path), sha256(content)
    if UPDATED.get(place) == digest:
        return
    try:
        same = store.read_bytes(path) == content
    except FileNotFoundError:
        same = False
    if not same:
        store.write_bytes(path, content)
    UPDATED[place] = digest


def _write(store: Store, path: str, template: str, page: Mapping[str, Any]) -> str:
    """Write a page after its scripts and style sheet; return its path."""
    html, folder = environment().get_template(template).render(page), path[: path.rfind("/") + 1]
    for name in [name for name in ASSETS if f'"{name}"' in html]:
        _update(store, f"{folder}{name}", (HERE / "static" / name).read_bytes())
    store.write_text(path, html)
    return path


def build_run(store: Store, run_id: str) -> str:
    """Build the page of a run, finished or not; return its path in the store."""
    page = run_page.run_page(store, run_id)
    folder, stamp = f"runs/{run_id}/report/", sha256(inline(page["inline"]).encode())
    page["inline"]["stamp"] = page["compared"]["stamp"] = stamp  # by which an open page notices a newer one
    store.write_text(f"{folder}config.yaml", page["config"])
    sheet = contact_sheet.contact_sheet(
        store, page["title"], f"run {run_id}, {formatting.moment(page['run'].started)}", page["strips"]
    )
    if sheet:
        _update(store, f"{folder}{contact_sheet.SHEET}", sheet)
    path = _write(
        store, f"{folder}index.html", "run.html.jinja", page | {"sheet": sheet and contact_sheet.SHEET}
    )
    store.write_text(f"{folder}{comparison.DATA}", f"Atelier.receive({inline(page['compared'])});\n")
    return path


def build_index(store: Store, changed: str | None = None) -> str:
    """Build the index of all runs, and index.json; return the page's path in the store.

    With the id of the only run that has `changed`, the records of those that have ended are not read again.
    """
    page = index_page.index_page(store, changed)
    store.write_bytes(index_page.INDEX, json.dumps(page, allow_nan=False).encode())
    comparable = [
        (run["run_id"], run["data"]["title"], run["started"]) for run in page["runs"] if run["report"]
    ]
    _write(store, "compare.html", "compare.html.jinja", {"inline": {"kind": "compare", "runs": comparable}})
    return _write(
        store,
        "index.html",
        "index.html.jinja",
        {
            "runs": page["runs"],
            "waiting": gate.waiting(store),
            "champions": gate.standing(store),
            "written": index_page.written(page["runs"]),
            "inline": {"kind": "index", **index_page.compact(page["runs"])},
        },
    )


def pull(store: Store, output: Path) -> Path:
    """Copy the index, the pages of all runs and their records to a folder; return the path of the index.

    Raises:
        InputError: the store has no index.
    """
    if not store.exists("index.html"):
        raise InputError(f"{store.url} has no pages; make them with `atelier report build`")
    parts = [f"runs/{run_id}/{name}" for run_id in store.list("runs") for name in ("run.json", "report")]
    for rel in filter(store.exists, [*parts, *ASSETS, index_page.INDEX, "compare.html", "index.html"]):
        store.download(rel, output / rel)
    return output / "index.html"
