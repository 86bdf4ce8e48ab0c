"""The project's folders on this machine."""

import os
from pathlib import Path

from components.common.errors import InputError
from components.common.suggestions import did_you_mean

CHECKOUT = Path(__file__).resolve().parents[2]
QUICKSTART = "configs/quickstart.yaml"


def home() -> Path:
    """Return the project's folder: ATELIER_HOME, else the checkout of this file, else the current folder.

    An installed wheel has no checkout.
    """
    checkout = CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else Path()
    return Path(os.environ.get("ATELIER_HOME") or checkout).resolve()


def working() -> Path:
    """Return the folder for caches, locks and histories; it can be deleted while no command runs."""
    return home() / ".atelier"


def config_path(path: Path | None) -> Path:
    """Find a config file in the current folder, the project or the checkout; None is the quick start's.

    Raises:
        InputError: there is no such file.
    """
    asked = Path(QUICKSTART) if path is None else path
    places = [home(), CHECKOUT] if path is None else [Path(), home(), CHECKOUT]
    for place in places:
        if (place / asked).is_file():
            return place / asked
    configs = (folder / "configs" for folder in dict.fromkeys((home(), CHECKOUT)))
    existing = [file for folder in configs for file in folder.rglob("*.yaml")]
    beside = [file for place in places for file in (place / asked).parent.glob("*.y*ml")]
    names = [str(asked.with_name(file.name)) for file in beside]
    names += [str(file.relative_to(file.parents[i])) for file in existing for i in (0, 1, 2)]
    near = did_you_mean(str(asked), names)
    folders = ", ".join(dict.fromkeys(str(place.resolve()) for place in places))
    raise InputError(f"there is no config file {asked}{near}; looked in {folders}")
