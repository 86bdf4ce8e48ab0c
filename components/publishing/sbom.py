"""The software that made a model, as a CycloneDX 1.6 bill of materials of the installed packages.

https://cyclonedx.org/docs/1.6/json/. It has no time and no serial number, so the same packages give the same
bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

SBOM = "sbom.cdx.json"
ROOT = "atelier"

Needs = Mapping[str, list[str]]


def bill(family: str, root: str = ROOT) -> dict[str, object]:
    """Return the bill of materials of a family's model: `root` and all that it needs, as installed here."""
    packages = installed(root)
    described = {name: component(package) for name, package in packages.items()}
    references = {name: str(entry["bom-ref"]) for name, entry in described.items()}
    model = {"type": "machine-learning-model", "bom-ref": "model", "name": family}
    depends = [
        {
            "ref": references[name],
            "dependsOn": sorted(references[n] for n in needs(package) if n in references),
        }
        for name, package in packages.items()
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model},
        "components": list(described.values()),
        "dependencies": [{"ref": "model", "dependsOn": [references[root]]}, *depends],
    }


def installed(root: str) -> dict[str, Distribution]:
    """Return `root` and the packages that it needs, transitively, by name and sorted."""
    packages: dict[str, Distribution] = {}
    queue = [root]
    while queue:
        if (name := queue.pop()) in packages:
            continue
        try:
            packages[name] = distribution(name)
        except PackageNotFoundError:  # needed on other machines, or by an extra alone
            continue
        queue += needs(packages[name])
    return dict(sorted(packages.items()))


def needs(package: Distribution) -> list[str]:
    """Return the names of the packages that one needs on this machine, with the extras that are named."""
    required = [Requirement(text) for text in package.requires or ()]
    applies = [r for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sorted({canonical(r.name) for r in applies})


def component(package: Distribution) -> dict[str, object]:
    """Return the entry of a package."""
    name, version = canonical(package.metadata["Name"]), package.version
    url = f"pkg:pypi/{name}@{version}"
    entry: dict[str, object] = {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
    }
    stated = "License-Expression" in package.metadata
    licence = {"licenses": [{"expression": package.metadata["License-Expression"]}]} if stated else {}
    return entry | licence


def canonical(name: str) -> str:
    """Return a package's name as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()
