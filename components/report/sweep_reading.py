"""What the tables and plots of a sweep read."""

from __future__ import annotations

import re
from typing import Any

from components.report.reading import Object, as_list, as_object

PICTURE = re.compile(r"store/[\w-]+/(?P<key>[\w-]+)/attempts/(?P<attempt>\d+)/samples/(?P<name>[\w-]+)\.webp")

STATES = {
    "done": "judged to the end",
    "stopped": "stopped early",
    "collapsed": "collapsed",
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
}


def copies(path: Any) -> str | None:
    """The name beside the page of a picture in the store; None for what is no trial's picture."""
    found = PICTURE.fullmatch(path) if isinstance(path, str) else None
    return f"samples/trial-{found['key'][:24]}-{found['attempt']}-{found['name']}.webp" if found else None


def objects(value: Any) -> list[Object]:
    """The objects among the items of a list."""
    return [as_object(item) for item in as_list(value) if as_object(item)]


def words(value: Any) -> str:
    """The text of a value, if it is text."""
    return value if isinstance(value, str) else ""


def lost(trial: Object) -> bool:
    """Whether a trial cannot win, whatever its score."""
    return trial.get("state") in ("failed", "collapsed")
