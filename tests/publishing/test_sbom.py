"""The bill of materials lists what is installed, once, in a form that tools read."""

from __future__ import annotations

import json
import re

from components.publishing import sbom


def test_a_bill_lists_the_packages_that_atelier_needs_and_no_others() -> None:
    made = sbom.bill("vae", root="prefect")
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    assert made["metadata"]["component"]["type"] == "machine-learning-model"
    names = [entry["name"] for entry in made["components"]]
    assert names == sorted(set(names)) and {"prefect", "pydantic"} <= set(names)
    assert "pytest" not in names, "it is for development"
    references = {entry["bom-ref"] for entry in made["components"]}
    for entry in made["components"]:
        assert re.fullmatch(r"pkg:pypi/[a-z0-9-]+@\S+", entry["purl"]) and entry["version"]
    for entry in made["dependencies"]:
        assert entry["ref"] in references | {"model"} and set(entry["dependsOn"]) <= references
    assert json.dumps(made) == json.dumps(sbom.bill("vae", root="prefect"))


def test_names_are_those_of_the_index() -> None:
    assert sbom.canonical("Types_PyYAML..x") == "types-pyyaml-x"
    assert sbom.installed("no-such-package") == {}
