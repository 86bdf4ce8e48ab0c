"""Nothing is installed whose hash is not known, and every lock pins the same versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(Path(ROOT, "requirements").glob("*.txt"))


def pins(lock: Path) -> dict[str, str]:
    """Return the pinned packages of a lock with the text that follows each: version, marker and hashes."""
    entries = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)[1:]
    return {entry.partition("==")[0]: entry.partition("==")[2] for entry in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_has_a_version_and_hashes(lock: Path) -> None:
    assert pins(lock)
    for package, entry in pins(lock).items():
        assert re.match(r"[\w.+-]+", entry) and "--hash=sha256:" in entry, package


def test_all_locks_agree() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for package, entry in pins(lock).items():
            versions.setdefault(package, set()).add(entry.split()[0])
    assert {name: result for name, result in versions.items() if len(result) > 1} == {}


def test_the_build_back_end_is_pinned_and_locked() -> None:
    project = tomllib.loads(Path(ROOT, "pyproject.toml").read_text())
    locked = pins(ROOT / "requirements" / "build.txt")
    for requirement in project["build-system"]["requires"]:
        name, _, version = requirement.partition("==")
        assert version and locked[name].split()[0] == version


def test_make_installs_nothing_without_hashes() -> None:
    lines = [line for line in Path(ROOT, "Makefile").read_text().splitlines() if "pip install" in line]
    assert lines and all(
        "--require-hashes" in line or "--no-deps --no-build-isolation --editable ." in line for line in lines
    )
