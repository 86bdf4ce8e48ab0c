"""A run's page in one file: scripts, style sheet and pictures inside, for a mail or an archive."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from components.common.errors import InputError
from components.store import Store

STATIC = Path(__file__).parent / "static"
TYPES = {".webp": "image/webp", ".png": "image/png", ".yaml": "text/yaml"}
SCRIPT = re.compile(r'<script src="([\w.-]+)" defer></script>')
STYLE = '<link rel="stylesheet" href="atelier.css">'
POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")[^"]*(">)')
FILE = re.compile(r"(?:samples/[\w-][\w.-]*|contact-sheet)\.(?:webp|png)")
LINK = re.compile(r' href="(?:samples/[\w.-]+|\.\./[^"]*)"')  # to other files, which are not there


def single_file(store: Store, run_id: str) -> str:
    """Return the page of a run, which has been built, with everything that it loads inside.

    Its content security policy allows these scripts only, by their hashes, and no connection.

    Raises:
        InputError: the run has no page.
    """
    folder = f"runs/{run_id}/report"
    if not store.exists(f"{folder}/index.html"):
        raise InputError(f"run {run_id} has no page; make it with `atelier report build --run {run_id}`")
    html = store.read_bytes(f"{folder}/index.html").decode()
    names = [name for name in SCRIPT.findall(html) if name != "live.js"]  # which looks for a newer page
    scripts = [(STATIC / name).read_text() for name in names]
    css = (STATIC / "atelier.css").read_text()
    html = LINK.sub("", SCRIPT.sub("", html))
    html = FILE.sub(lambda match: _embedded(store, f"{folder}/{match[0]}") or match[0], html)
    config = _embedded(store, f"{folder}/config.yaml")
    html = html.replace('href="config.yaml"', f'href="{config}"' if config else "")
    html = html.replace(STYLE, f"<style>{css}</style>")
    html = POLICY.sub(lambda match: match[1] + _policy(css, scripts) + match[2], html)
    return html.replace("</body>", "".join(f"<script>{text}</script>\n" for text in scripts) + "</body>")


def _embedded(store: Store, path: str) -> str | None:
    """Return a file as a data URL; None if it is missing."""
    try:
        content = store.read_bytes(path)
    except FileNotFoundError:
        return None
    return f"data:{TYPES[Path(path).suffix]};base64,{base64.b64encode(content).decode()}"


def _policy(css: str, scripts: list[str]) -> str:
    """Return the content security policy of a page that holds these scripts and this style sheet."""
    hashes = " ".join(_hash(text) for text in scripts)
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(css)}; script-src {hashes}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
