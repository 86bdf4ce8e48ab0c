"""Files of an extractor: its config.json and verified weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.atomic import replacing
from components.common.errors import InputError
from components.common.hashing import digest, json_sha256
from components.records.extractor import ExtractorConfig


def write_config(
    out: Path,
    name: str,
    weights: str,
    preparation: str,
    recipe: Mapping[str, Any] | None,
    **training: Any,
) -> ExtractorConfig:
    """Write config.json with the identity and the training of an extractor, and return it."""
    config = ExtractorConfig(
        name=name,
        hash=extractor_hash(name, weights, preparation, recipe),
        weights_sha256=weights,
        preparation=preparation,
        recipe=recipe,
        **training,
    )
    with replacing(out / "config.json") as temporary:  # last and atomically, as the mark of a complete folder
        temporary.write_text(json.dumps(config.to_json(), indent=1))
    return config


def extractor_hash(name: str, weights: str, preparation: str, recipe: Mapping[str, Any] | None) -> str:
    """Return the hash that identifies an extractor, from the sha256 of its `weights` and all that is read."""
    return json_sha256(
        {"name": name, "weights_sha256": weights, "preparation": preparation, "recipe": recipe}
    )


def copy_weights(weights: Path, target: Path) -> None:
    """Copy weights into an extractor's folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, target)


def verified(weights: Path, sha256: str) -> Path:
    """Return `weights` after checking their sha256, which comes first: they may be a pickle or code."""
    if not weights.is_file() or digest(weights, "sha256") != sha256:
        raise InputError(f"{weights}: missing or changed since it was saved (sha256 in config.json)")
    return weights
