"""The project's folders on this machine."""

import os
from pathlib import Path

QUICKSTART = "configs/quickstart.yaml"


def home() -> Path:
    """Return the project's folder: ATELIER_HOME, else the checkout that contains this file."""
    return Path(os.environ.get("ATELIER_HOME") or Path(__file__).parents[2]).resolve()


def working() -> Path:
    """Return the folder for caches, locks and histories; it can be deleted while no command runs."""
    return home() / ".atelier"


def config_path(path: Path | None) -> Path:
    """Find a config file in the current folder or the project; None is the quick start's."""
    if path is None:
        return home() / QUICKSTART
    if not path.exists() and not path.is_absolute() and (home() / path).exists():
        return home() / path
    return path
