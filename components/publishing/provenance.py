"""The provenance of a published model: an in-toto statement with a SLSA v1 predicate, from the run's record.

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. Its subjects are all files of the
model's folder, so it is also the list by which the folder is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from components.common.errors import RunError
from components.records.gate import Reproduction
from components.records.run import RunManifest, StageEntry

PROVENANCE = "provenance.json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD = "urn:atelier:run:v1"  # type of the build: what the parameters mean


def statement(
    run: RunManifest, family: str, files: Mapping[str, str], drawn: Reproduction | None
) -> dict[str, object]:
    """Return the statement on a family's model.

    Args:
        run: its record.
        family: the family.
        files: sha256 of each file by its path in the model's folder.
        drawn: how its exported model drew its published samples again.
    """
    lineage = run.lineage
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {"family": family, "config": dict(lineage.config)},
                "internalParameters": {
                    "versions": lineage.versions,
                    "hardware": lineage.hardware.to_json() if lineage.hardware else None,
                    "withheld": run.withheld,
                    "samples_drawn_again": drawn.to_json() if drawn else None,
                },
                "resolvedDependencies": dependencies(run, family),
            },
            "runDetails": {
                "builder": {"id": "urn:atelier", "version": {"atelier": version("atelier")}},
                "metadata": {
                    "invocationId": run.run_id,
                    "startedOn": run.started,
                    "finishedOn": finished(run, family),
                },
            },
        },
    }


def dependencies(run: RunManifest, family: str) -> list[Mapping[str, object]]:
    """Return what a model was made from: code, data, and the results of the stages that it builds on."""
    lineage, made_from = run.lineage, list[Mapping[str, object]]()
    if lineage.commit:
        code: dict[str, object] = {"name": "code", "digest": {"gitCommit": lineage.commit}}
        made_from.append(code | {"annotations": {"uncommitted_changes": bool(lineage.dirty)}})
    if lineage.data.hash:
        data = {"name": f"data/{lineage.data.name}", "digest": {"sha256": lineage.data.hash}}
        made_from.append(data | {"annotations": {"dvc_version": lineage.data.version}})
    for stage in built_on(run, family):
        annotations = {"key": stage.key} | ({"run": stage.cached_from} if stage.cached_from else {})
        result = {"name": stage.title, "digest": {"sha256": stage.sha256}, "annotations": annotations}
        made_from.append(result)
    return made_from


def built_on(run: RunManifest, family: str) -> list[StageEntry]:
    """Return the finished stages of a run that a family's export builds on, itself included."""
    by_key = {stage.key: stage for stage in run.stages if stage.is_finished and stage.sha256}
    export, needed = run.stage("export", family), set[str]()
    queue = [export.key] if export else []
    while queue:
        if (key := queue.pop()) in by_key and key not in needed:
            needed.add(key)
            queue += by_key[key].upstream
    return [stage for stage in run.stages if stage.key in needed]


def finished(run: RunManifest, family: str) -> str | None:
    """Return when the model was exported."""
    entry = run.stage("export", family)
    return entry.ended if entry else None


def subjects(content: object) -> dict[str, str]:
    """Return the sha256 of each file that a statement lists; raise RunError if it is none."""
    try:
        assert isinstance(content, dict) and content["_type"] == STATEMENT
        return {str(entry["name"]): str(entry["digest"]["sha256"]) for entry in content["subject"]}
    except (AssertionError, KeyError, TypeError):
        raise RunError(f"{PROVENANCE} is damaged: it does not list the files of the model") from None


def drawn_again(content: Any) -> Reproduction | None:
    """Return how the published samples were drawn again before publication; None if that is not known."""
    try:
        value = content["predicate"]["buildDefinition"]["internalParameters"]["samples_drawn_again"]
    except (KeyError, TypeError):
        return None
    return Reproduction.read(value)
