"""Records of runs, and exported models, in a store."""

from __future__ import annotations

from collections.abc import Mapping

from components.records.run import RunManifest, StageEntry
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store


def record(store: Store, run_id: str, models: Mapping[str, str] | None = None, kind: str = "run") -> None:
    """Write the record of a run with models: family -> key of its export."""
    stages = [
        StageEntry(name="export", family=family, state="ran", uri=f"store/export/{key}", attempt=1)
        for family, key in (models or {}).items()
    ]
    manifest = RunManifest(run_id=run_id, kind=kind, stages=stages)
    store.write_json(f"runs/{run_id}/run.json", manifest.to_json())


def export(store: Store, run_id: str, family: str, files: Mapping[str, bytes]) -> Store:
    """Export a model of a run as the stage does; return its folder."""
    spec = Spec("export", {"of": run_id}, {}, family=family)

    def write(attempt: Store, number: int) -> Mapping[str, str]:
        for name, content in files.items():
            attempt.write_bytes(name, content)
        return {"exported": family}

    done = cache.run(store, spec, write, run_id=run_id)
    record(store, run_id, {family: spec.key})
    return store.child(done.uri)
