"""Where the project lies on this machine."""

import os
from pathlib import Path

QUICKSTART = "configs/quickstart.yaml"


def home() -> Path:
    """The project's folder: ATELIER_HOME, else the checkout this file belongs to."""
    return Path(os.environ.get("ATELIER_HOME") or Path(__file__).parents[2]).resolve()


def working() -> Path:
    """The project's private folder for caches, locks and histories; safe to delete while nothing runs."""
    return home() / ".atelier"


def config_path(path: Path | None) -> Path:
    """A config file, looked for here and in the project; the quick start's without one."""
    if path is None:
        return home() / QUICKSTART
    if not path.exists() and not path.is_absolute() and (home() / path).exists():
        return home() / path
    return path
