"""Stores with outputs of stages, some of which a run refers to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.records.run import RunManifest, StageEntry
from components.retention import survey
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store

FILES = {"model/weights": b"w" * 50, "checkpoints/step-1.pt": b"c" * 1000, "ema/step-1": b"e" * 200}
UNFINISHED = ["checkpoints/step-1.pt", "samples/step-1.webp"]


def spec(name: str, stage: str = "train", upstream: Mapping[str, str] | None = None) -> Spec:
    return Spec(stage, {"of": name}, {}, upstream or {}, family="vae")


def made(store: Store, of: Spec, *, force: bool = False, **result: Any) -> Done:
    def body(attempt: Store, number: int) -> Mapping[str, Any]:
        before = [path for path in attempt.find() if path != cache.BEGUN]
        assert before in ([], UNFINISHED), "all of an unfinished attempt, or nothing"
        for name, content in FILES.items():
            attempt.write_bytes(name, content)
        return result

    return cache.run(store, of, body, run_id="r", force=force)


def recorded(store: Store, run_id: str, *specs: Spec, **content: Any) -> None:
    stages = [
        StageEntry(name=s.stage, family=s.family, key=s.key, uri=s.uri, attempt=1, state="ran") for s in specs
    ]
    manifest = RunManifest(**{"run_id": run_id, "status": "done", "stages": stages} | content)
    store.write_json(f"runs/{run_id}/run.json", manifest.to_json())


def paths(result: survey.Survey) -> dict[str, str]:
    return {item.path: item.kind for item in result.items}


def reasons(result: survey.Survey) -> dict[str, str]:
    return {stays.path: stays.why for stays in result.staying}
