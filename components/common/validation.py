"""Readable messages for pydantic's validation errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

from components.common.suggestions import did_you_mean

RENAMED = {  # former key -> its new names, which depend on the section
    "blocks": ("num_res_blocks",),
    "clip": ("clip_grad_norm", "clip_denoised"),
    "codes": ("codebook_size",),
    "diversity": ("min_diversity",),
    "ema_lengths": ("ema_sigma_rel",),
    "ema_ramp_up": ("ema_rampup_ratio",),
    "factor": ("reduction_factor", "downsampling"),
    "final_samples": ("finalist_samples",),
    "flips": ("horizontal_flip",),
    "fresh_seeds": ("confirmation_seeds",),
    "grace": ("grace_period",),
    "guidance": ("guidance_scale",),
    "held_out": ("held_out_classes",),
    "judge_samples": ("snapshot_samples",),
    "judgements": ("evaluations",),
    "keep": ("select",),
    "milestones": ("setting_changes",),
    "multipliers": ("channel_multipliers",),
    "points": ("grid_points",),
    "prefer": ("objective",),
    "process": ("noise_schedule",),
    "quantise": ("quantizer",),
    "repeats": ("seeds_per_finalist",),
    "sample_grids": ("num_snapshots",),
    "shards": ("micro_batches",),
    "side_by_side": ("max_concurrent_trials",),
    "spacing": ("timestep_spacing",),
    "study_samples": ("ablation_samples",),
    "target": ("prediction",),
    "threads": ("torch_threads",),
    "time_mean": ("timestep_mean",),
    "time_std": ("timestep_std",),
    "times": ("timestep_sampling",),
    "treatments": ("max_treatments",),
    "uses": ("latent_analysis",),
}


LONGEST = 500  # characters of a value in a sentence
DATASET_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def checked_name(name: str) -> str:
    """Return `name`; raise ValueError if it cannot be the name of a data set.

    data/x.dvc is the file that pins the set x, so no set may have this name.
    """
    if not DATASET_NAME.fullmatch(name) or name.endswith((".", ".dvc")):
        raise ValueError("use lower-case letters, digits, '_', '.' and '-', and no ending '.' or '.dvc'")
    return name


def explain(error: ValidationError, prefix: str, model: type[BaseModel]) -> str:
    """Describe the first error in one sentence.

    Args:
        error: of the validation of `model`.
        prefix: the configuration key of the model; empty at the top level.
        model: lists the accepted keys if one is unknown.
    """
    first = error.errors()[0]
    path = ".".join(str(part) for part in ((prefix,) if prefix else ()) + first["loc"])
    if first["type"] == "extra_forbidden":
        fields = _fields(model, first["loc"][:-1])
        if new := renamed(str(first["loc"][-1]), fields):
            return f"unknown key {path}; it is now called {new}"
        near = did_you_mean(str(first["loc"][-1]), fields)
        return f"unknown key {path}{near}; known here: {', '.join(fields)}"
    if first["type"] == "missing":
        return f"{path} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{prefix}: {message}" if prefix else message
    return f"{path}={_short(first['input'])} is not accepted: {message[0].lower()}{message[1:]}"


def _short(value: object) -> str:
    """Return a value as Python writes it, or the beginning of a long one."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def renamed(key: str, fields: Collection[str]) -> str | None:
    """Return the new name of a key that was renamed, such as `train.clip`, if it is among `fields`."""
    section, dot, name = key.rpartition(".")
    return next((new for name in RENAMED.get(name, ()) if (new := section + dot + name) in fields), None)


def _fields(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        sections = [
            kind
            for kind in (annotation, *get_args(annotation))  # a section, or an optional one
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not sections:
            break
        model = sections[0]
    return sorted(model.model_fields)
