"""Settings of diffusion that contradict each other."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from models.diffusion_config import DiffusionConfig


@pytest.mark.parametrize(("changes", "match"), [
    ({"process": "linear", "target": "eps", "zero_terminal_snr": True}, "target=eps does not determine x_0"),
    ({"target": "eps"}, "target=eps does not determine x_0"),
    ({"zero_terminal_snr": True}, "zero_terminal_snr is for linear, cosine, sigmoid, not flow"),
    ({"target": "edm"}, "target=edm is for process=edm"),
    ({"spacing": "leading"}, "selects steps of a schedule"),
    ({"process": "edm", "target": "v"}, "target=v grows with sigma"),
    ({"process": "linear", "target": "v", "shift": 0.05}, "starts at alpha=0.1. with .*larger shift"),
    ({"process": "edm", "target": "edm", "shift": 2.0}, "change timestep_mean"),
    ({"guidance_interval": (0.7, 0.2)}, "must rise"),
    ({"sampler_steps": 0}, "greater than or equal to 1"),
    ({"process": "cosine", "target": "eps"}, "set clip: true"),
    ({"process": "linear", "target": "eps", "shift": 3.0}, "errors of x_0 by 47. .* with shift=3"),
    ({"process": "cosine", "spacing": "leading", "sampler_steps": 10}, "alpha=0.1. with sampler_steps=10"),
    ({"process": "linear", "spacing": "leading", "sampler_steps": 501}, "starts at alpha=0.28"),
    (
        {"process": "cosine", "target": "v", "zero_terminal_snr": True, "weighting": "min_snr"},
        "zero weight to the last step",
    ),
    ({"condition": "text", "attention": False}, "condition=text needs attention to captions"),
    ({"process": "cosine", "target": "v", "zero_terminal_snr": True, "spacing": "leading"}, "skips the last"),
    ({"attention_levels": (5,)}, "attention_levels=.5. must be levels from 0 to"),
    ({"guidance": float("inf")}, "finite number"),
    ({"timestep_mean": float("nan")}, "finite number"),
])  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        DiffusionConfig(**changes)  # type: ignore[arg-type]
