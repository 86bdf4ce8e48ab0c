"""The provenance of a published model is an in-toto statement that says what it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.common.errors import RunError
from components.publishing.provenance import drawn_again, statement, subjects
from components.records.gate import Machine, Reproduction
from components.store import Store
from tests.publishing.exported import RUN, record

FOLDERS = {"cgan": "store/export/cgan/attempts/1"}


def test_a_statement_has_the_form_of_in_toto_and_slsa(tmp_path: Path) -> None:
    drawn = Reproduction(images=3, difference=0.0, machine=Machine(processor="x", torch="2"))
    run = record(Store(str(tmp_path)), FOLDERS, drawn)
    made = statement(run, "cgan", {"b": "1" * 64, "a": "0" * 64}, drawn)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made.keys() == {"_type", "subject", "predicateType", "predicate"}
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"][0] == {"name": "a", "digest": {"sha256": "0" * 64}}
    definition, details = made["predicate"]["buildDefinition"], made["predicate"]["runDetails"]
    assert definition["buildType"].startswith("urn:") and details["builder"]["id"].startswith("urn:")
    assert definition["externalParameters"]["config"] == {"train": {"steps": 4}}
    assert details["metadata"] == {"invocationId": RUN, "startedOn": "S", "finishedOn": "E"}
    for each in definition["resolvedDependencies"]:  # a resource needs a digest, content or address
        assert each["name"] and all(value for value in each["digest"].values())
    names = [each["name"] for each in definition["resolvedDependencies"]]
    assert names == ["code", "data/digits", "prepare", "train cgan", "export cgan"], "not of other families"
    assert subjects(made) == {"a": "0" * 64, "b": "1" * 64} and drawn_again(made) == drawn


@pytest.mark.parametrize("content", [None, [], {}, {"_type": "x", "subject": []}])
def test_what_lists_no_files_is_no_provenance(content: object) -> None:
    with pytest.raises(RunError, match=r"provenance.json is damaged"):
        subjects(content)
    assert drawn_again(content) is None
