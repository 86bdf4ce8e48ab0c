"""Judgements, champions and runs that the gate has judged."""

from __future__ import annotations

from typing import Any

from components.common.hashing import sha256
from components.records.gate import Champion, Judgement, ModelFile, ModelReference, Reason, Verdict
from components.records.run import RunManifest
from components.store import Store

OF = ("digits", "generate")


def model(store: Store, run_id: str, family: str = "vae") -> ModelReference:
    """A model in the store, with weights of its own."""
    folder, files = f"store/export/{run_id}-{family}/attempts/1", []
    for name in ("config.json", "model.safetensors"):
        content = f"{name} of {run_id}/{family}".encode()
        store.write_bytes(f"{folder}/{name}", content)
        files.append(ModelFile(path=name, bytes=len(content), sha256=sha256(content)))
    return ModelReference(run_id=run_id, family=family, folder=folder, files=files)


def judgement(store: Store, run_id: str, family: str = "vae", failed: str = "", **content: Any) -> Judgement:
    """A judgement, blessed unless `failed` says why not."""
    reasons = [Reason(rule="quality", passed=not failed, text=failed or "better")]
    fixed = {"data_set": OF[0], "task": OF[1], "data": "d1", "export": Verdict()}
    return Judgement(**fixed, model=model(store, run_id, family), quality=Verdict(reasons=reasons), **content)


def champion(store: Store, number: int, run_id: str, **content: Any) -> Champion:
    """An entry of the history."""
    decided = {"who": "gate", "why": "blessed", "when": "2026-05-01T10:00:00+00:00"} | content
    judged = judgement(store, run_id, champion=number - 1, number=number)
    return Champion(**{"number": number, "judgement": judged} | decided)


def run(run_id: str, *judgements: Judgement, **content: Any) -> RunManifest:
    """The record of a run that the gate has judged."""
    return RunManifest(**{"run_id": run_id, "status": "done", "gate": list(judgements)} | content)
