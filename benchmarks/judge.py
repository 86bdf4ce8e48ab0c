"""The network that judges in a benchmark: trained on the digits once, and kept in its store."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.data.dataset import open_split
from components.extractors.small import train_extractor
from components.stages import cache, code_digest
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store


def trained_judge(
    store: Store, kind: str, data: Path, version: str, steps: int | None = None, seed: int = 0
) -> Done:
    """Return the stage that trained a judge, of the kind classifier or rotation; `steps` None: 8 epochs."""
    digests = code_digest.code("components.extractors.small")
    made = Spec(f"proof-{kind}", {"steps": steps, "seed": seed}, digests, data=version)

    def body(attempt: Store, number: int) -> dict[str, Any]:
        splits = open_split(data, "train"), open_split(data, "validation")
        with TemporaryDirectory() as folder:  # the store may be elsewhere
            config = train_extractor(*splits, Path(folder), kind, steps, seed)
            attempt.upload(Path(folder), "extractor")
        return {kind: config.to_json()}

    return cache.run(store, made, body, run_id="proof")
