"""Families are imported when they are looked up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.family import Family
from models.registry import FAMILIES, Registry


def test_names_need_no_torch() -> None:
    code = (
        "import sys; from models.registry import FAMILIES; list(FAMILIES); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_every_name_has_its_family() -> None:
    assert all(issubclass(family, Family) for family in FAMILIES.values())
    assert len({family.__qualname__ for family in FAMILIES.values()}) == len(FAMILIES)


def test_a_program_may_add_a_family() -> None:
    registry = Registry({"vae": "models.vae:VAE"})
    added = type("Added", (Family,), {"__module__": "program"})
    registry["added"] = added
    assert list(registry) == ["vae", "added"] and registry["added"] is added and len(registry) == 2
    assert registry.modules() == ["models.vae", "program"]
    del registry["added"]
    with pytest.raises(KeyError):
        registry["added"]
