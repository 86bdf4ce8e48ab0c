"""Where the project lies on this machine."""

import os
from pathlib import Path


def home() -> Path:
    """The project's folder: ATELIER_HOME, else the checkout this file belongs to."""
    return Path(os.environ.get("ATELIER_HOME") or Path(__file__).parents[2]).resolve()


def working() -> Path:
    """The project's private folder for caches, locks and histories; safe to delete while nothing runs."""
    return home() / ".atelier"
